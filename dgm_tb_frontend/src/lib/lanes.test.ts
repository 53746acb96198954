import { describe, expect, it } from "vitest";
import { Lanes, straighten } from "./lanes";

const box = (left: number, right: number, top: number, bottom: number) => ({ left, right, top, bottom });

describe("straighten", () => {
  const boxes = [box(0, 100, 50, 90), box(0, 100, 120, 160)];

  it("goes past the boxes in one vertical lane, on the nearer side", () => {
    const [a, b] = straighten([80, 0], [80, 200], [[130, 50], [130, 90], [125, 120], [125, 160]], boxes, new Lanes(), -50, 200);
    expect(a![0]).toBe(b![0]);
    expect(a![0]).toBeGreaterThanOrEqual(108);
    expect([a![1], b![1]]).toEqual([50, 160]);
  });

  it("keeps two edges apart, and leaves one as it was where nothing is free", () => {
    const lanes = new Lanes();
    const bends = [[130, 50], [130, 160]] as const;
    const first = straighten([80, 0], [80, 200], bends, boxes, lanes, 0, 118);
    const second = straighten([80, 0], [80, 200], bends, boxes, lanes, 0, 118);
    expect(second[0]![0] - first[0]![0]).toBeGreaterThanOrEqual(7.9);
    expect(straighten([80, 0], [80, 200], bends, boxes, lanes, 0, 118)).toBe(bends);
  });

  it("goes straight down where nothing is in the way", () => {
    expect(straighten([150, 0], [150, 200], [[130, 50], [130, 160]], boxes, new Lanes(), 0, 200)).toEqual([[150, 50], [150, 160]]);
    expect(straighten([0, 0], [0, 9], [], boxes, new Lanes(), 0, 9)).toEqual([]);
  });
});
