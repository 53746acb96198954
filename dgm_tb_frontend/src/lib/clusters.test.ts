import { describe, expect, it } from "vitest";
import { clusters } from "./clusters";

const maps = (...units: number[][]) => ({ shape: [units.length, 1, units[0]!.length], data: Float32Array.from(units.flat()) });

describe("clusters of units", () => {
  it("are those whose maps have the same pattern, whatever their size", () => {
    expect(clusters([0, 1, 2, 3, 4], maps([4, 0, 0], [0, 3, 0], [2, 0.1, 0], [-1, 0, 0], [0, 1, 0.2]))).toEqual([[0, 2], [1, 4], [3]]);
  });

  it("begin with the strongest, and are in their order", () => {
    expect(clusters([2, 0, 1], maps([1, 0], [0, 1], [5, 0]))).toEqual([[2, 0], [1]]);
  });

  it("a unit joins the most alike of several", () => {
    expect(clusters([0, 1, 2], maps([1, 0], [0.7, 0.75], [0.8, 0.6]))).toEqual([[0], [1, 2]]);
  });

  it("are single units where there is nothing to compare", () => {
    expect(clusters([3, 1], null)).toEqual([[3], [1]]);
    expect(clusters([0, 1], maps([1], [2]))).toEqual([[0], [1]]);
    expect(clusters([0, 1], maps([0, 0], [NaN, 1]))).toEqual([[0], [1]]);
  });
});
