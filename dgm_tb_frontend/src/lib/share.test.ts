import { describe, expect, it } from "vitest";
import { byModule, cancelling, column, completeness, extremes, share, takesPart } from "./share";

const credit = (...values: number[]): Float32Array => Float32Array.from(values);

describe("a column", () => {
  it("shows the strongest units, those that push up first, and piles the rest up by what they do", () => {
    const { scale, blocks } = column([["a", credit(0.25, -2, 0.5, 4, 0, -1), null]], 2);
    expect(scale).toBe(4);
    expect(blocks[0]!.tiles.map(({ unit, share: part }) => [unit, part])).toEqual([[3, 1], [1, -0.5]]);
    expect(blocks[0]!.piles).toEqual([{ node: "a", way: "up", units: [2, 0], sum: 0.75, share: 0.1875 }, { node: "a", way: "down", units: [5], sum: -1, share: -0.25 }]);
    expect(blocks[0]!.sum).toBe(1.75);
  });

  it("keeps units together whose maps are alike", () => {
    const maps = { shape: [4, 1, 2], data: Float32Array.from([1, 0, 0, 4, 3, 0.1, 0, -2]) };
    const [block] = column([["a", credit(1, 4, 3, -2), maps]], 9).blocks;
    expect(block!.tiles.map(({ unit, alike }) => [unit, alike])).toEqual([[1, [1]], [2, [2, 0]], [0, [2, 0]], [3, [3]]]);
  });

  it("measures layers beside each other by the same scale", () => {
    const { blocks } = column([["strong", credit(8, -4), null], ["weak", credit(0.5), null]], 2);
    expect(blocks.map(({ tiles }) => tiles.length)).toEqual([2, 0]);
    expect(blocks[1]!.piles).toEqual([{ node: "weak", way: "up", units: [0], sum: 0.5, share: 0.0625 }]);
  });

  it("counts what is not finite and draws no share of it", () => {
    const [block] = column([["a", credit(NaN, 1, Infinity), null]], 5).blocks;
    expect([block!.nonfinite, block!.tiles.length, block!.piles.length]).toEqual([2, 1, 0]);
    expect(block!.tiles[0]!.share).toBe(1);
  });

  it("of nothing has no scale", () => {
    expect(column([["a", credit(0, 0), null]], 5).scale).toBe(0);
    expect([share(3, 0), share(9, 3), share(-9, 3)]).toEqual([0, 1, -1]);
    expect([takesPart(credit(0, 0)), takesPart(credit(0, NaN))]).toEqual([false, true]);
  });
});

describe("parameters", () => {
  it("are summed by module, the largest first; where most comes from is told", () => {
    const parts = byModule([["a.b.weight", credit(1, -3)], ["a.b.bias", credit(0.5)], ["c.weight", credit(5)], ["d.weight", credit(0)], ["scale", credit(0.1)]]);
    expect(parts.map(({ name }) => name)).toEqual(["c", "a.b", ""]);
    expect(parts[1]!.sum).toBe(-1.5);
    expect(parts[1]!.strongest).toEqual({ tensor: "weight", index: 1, credit: -3 });
  });
});

describe("units that cancel", () => {
  it("are told apart by what they do", () => {
    expect(cancelling(credit(3, -4, 0, 1, -1), 9)).toEqual({ up: [0, 3], down: [1, 4] });
    expect(cancelling(credit(3, -4, 0, 1, -1), 1)).toEqual({ up: [0], down: [1] });
  });

  it("are none where most of them do the same, or nothing", () => {
    expect([cancelling(credit(3, 4, -1), 9), cancelling(credit(0, 0), 9), cancelling(credit(NaN, 1), 9)]).toEqual([null, null, null]);
  });
});

describe("completeness", () => {
  it("is the part of the change that is accounted for", () => {
    expect(completeness(-2, 0.5)).toBe(0.75);
    expect([completeness(0, 0), completeness(0, 1), completeness(1, 7)]).toEqual([1, NaN, 0]);
    expect(completeness(NaN, NaN)).toBeNaN();
  });
});

describe("samples", () => {
  it("are the strongest beside the weakest, none twice", () => {
    expect(extremes(credit(1, -9, 0, 3, 2), 2)).toEqual({ abnormal: [1, 3], normal: [2, 0] });
    expect(extremes(credit(1, 2, 3), 6)).toEqual({ abnormal: [2, 1], normal: [0] });
    expect(extremes(credit(), 6)).toEqual({ abnormal: [], normal: [] });
    expect(extremes(credit(5, NaN), 1).abnormal).toEqual([1]);
  });
});
