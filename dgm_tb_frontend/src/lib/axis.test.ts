import { describe, expect, it } from "vitest";
import { firstAtOrAfter, indexAt, lastAtOrBefore, nearest, shareOf, snapshotAxis } from "./axis";

const steps = new Float64Array([0, 1, 2, 4, 8, 10, 20, 30]);

describe("snapshotAxis", () => {
  it("puts a pinned focus in the centre, also where nothing is recorded beyond it", () => {
    for (const focus of steps) {
      const axis = snapshotAxis(steps, { focus, window: 3, following: false, range: null });
      expect(shareOf(axis, axis.focus)).toBeCloseTo(0.5);
      expect(axis.to - axis.from).toBe(6);
    }
  });

  it("keeps the newest snapshot at the right edge while following", () => {
    const axis = snapshotAxis(steps, { focus: 30, window: 3, following: true, range: null });
    expect([shareOf(axis, 7), axis.from]).toEqual([1, 4]);
  });

  it("shows a brushed range from edge to edge", () => {
    const axis = snapshotAxis(steps, { focus: 8, window: 3, following: false, range: [2, 20] });
    expect([axis.from, axis.to, axis.focus]).toEqual([2, 6, 4]);
  });

  it("ignores a range that holds fewer than two snapshots", () => {
    expect(snapshotAxis(steps, { focus: 8, window: 2, following: false, range: [11, 12] })).toMatchObject({ from: 2, to: 6 });
  });

  it("finds the snapshot under a place and never one that is not there", () => {
    const axis = snapshotAxis(steps, { focus: 30, window: 3, following: false, range: null });
    expect([0, 0.5, 1].map((share) => indexAt(axis, share))).toEqual([4, 7, 7]);
  });
});

describe("searching sorted steps", () => {
  it("agrees with a scan", () => {
    for (let value = -1; value <= 31; value += 0.5) {
      const before = [...steps].findLastIndex((s) => s <= value);
      const after = [...steps].findIndex((s) => s >= value);
      expect(lastAtOrBefore(steps, value)).toBe(before);
      expect(firstAtOrAfter(steps, value)).toBe(after < 0 ? steps.length : after);
      const distances = [...steps].map((s) => Math.abs(s - value));
      expect(distances[nearest(steps, value)]).toBe(Math.min(...distances));
    }
    expect(nearest([], 3)).toBe(-1);
  });
});
