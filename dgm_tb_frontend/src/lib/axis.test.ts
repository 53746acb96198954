import { describe, expect, it } from "vitest";
import { columnOf, firstAtOrAfter, indexAt, lastAtOrBefore, nearest, onAxis, shareOf, shareOfFocus, shareOfStep, snapshotAxis, stepAtShare } from "./axis";

const steps = new Float64Array([0, 1, 2, 4, 8, 10, 20, 30]);

describe("snapshotAxis", () => {
  it("puts a pinned focus in the centre, also where nothing is recorded beyond it", () => {
    for (const focus of steps) {
      const axis = snapshotAxis(steps, { focus, window: 3, following: false, range: null, level: 0 });
      expect(shareOf(axis, axis.focus)).toBeCloseTo(0.5);
      expect(axis.to - axis.from).toBe(6);
    }
  });

  it("keeps the newest snapshot at the right edge while following", () => {
    const axis = snapshotAxis(steps, { focus: 30, window: 3, following: true, range: null, level: 0 });
    expect([shareOf(axis, 7), axis.from]).toEqual([1, 4]);
  });

  it("shows a brushed range from edge to edge", () => {
    const axis = snapshotAxis(steps, { focus: 8, window: 3, following: false, range: [2, 20], level: 0 });
    expect([axis.from, axis.to, axis.focus]).toEqual([2, 6, 4]);
  });

  it("ignores a range that holds fewer than two snapshots", () => {
    expect(snapshotAxis(steps, { focus: 8, window: 2, following: false, range: [11, 12], level: 0 })).toMatchObject({ from: 2, to: 6 });
  });

  it("finds the snapshot under a place and never one that is not there", () => {
    const axis = snapshotAxis(steps, { focus: 30, window: 3, following: false, range: null, level: 0 });
    expect([0, 0.5, 1].map((share) => indexAt(axis, share))).toEqual([4, 7, 7]);
  });
});

describe("an axis of points, two columns each", () => {
  // Two points of sixteen snapshots, then two snapshots that no full point holds yet.
  const columns = new Float64Array([0, 150, 160, 310, 320, 320, 330, 330]);
  const axis = snapshotAxis(columns, { focus: 200, window: 3, following: false, range: [0, 330], level: 1 });

  it("is linear in step from edge to edge, whatever the points hold", () => {
    expect([shareOf(axis, 0), shareOf(axis, 1), shareOf(axis, 7)]).toEqual([0, 150 / 330, 1]);
    expect(onAxis(axis)).toEqual([0, 7]);
    expect(snapshotAxis(columns, { focus: 200, window: 3, following: true, range: [160, 310], level: 1 })).toMatchObject({ from: 160, to: 310 });
  });

  it("has the focus where its step is, not where its point begins", () => {
    expect([axis.focus, shareOfFocus(axis), shareOfStep(axis, 200)]).toEqual([2, 200 / 330, 200 / 330]);
    expect(snapshotAxis(columns, { focus: 400, window: 3, following: false, range: null, level: 1 }).focus).toBe(-1);
  });

  it("answers any step to a place, within what was recorded", () => {
    expect([-0.1, 0.5, 2].map((share) => stepAtShare(axis, share))).toEqual([0, 165, 330]);
    const single = snapshotAxis(steps, { focus: 8, window: 3, following: false, range: [2, 20], level: 0 });
    expect([stepAtShare(single, 0), stepAtShare(single, 0.3), shareOfStep(single, 9)]).toEqual([2, 4, 0.5]);
  });

  it("tells a step that lies outside", () => {
    expect([-1, 0, 155, 330, 331].map((step) => columnOf(columns, step))).toEqual([-1, 0, 1, 7, -1]);
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
