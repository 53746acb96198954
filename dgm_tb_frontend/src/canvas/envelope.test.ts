import { describe, expect, it } from "vitest";
import { extent, stretches, traceEnvelope } from "./envelope";

/** Points of so many steps each, at one pixel a step times `scale`. */
const at = (steps: readonly number[], scale: number) => (column: number): number => steps[column]! * scale;

describe("stretches", () => {
  it("are the points, widened to whole ones", () => {
    const steps = [0, 15, 16, 31, 32, 47];
    expect(stretches(1, 4, at(steps, 1))).toMatchObject([{ first: 0, last: 1, left: 0, right: 15 }, { first: 2, last: 3 }, { first: 4, last: 5, left: 32, right: 47 }]);
    expect(stretches(0, -1, at([], 1))).toEqual([]);
  });

  it("merge points that share a pixel, and lose none", () => {
    const steps = Array.from({ length: 1000 }, (_, k) => (k >> 1) * 16 + (k % 2) * 15);
    const merged = stretches(0, 999, at(steps, 0.02));
    expect(merged.length).toBeLessThan(170);
    expect(merged.flatMap(({ first, last }) => Array.from({ length: last - first + 1 }, (_, i) => first + i))).toEqual([...steps.keys()]);
  });

  it("are apart where steps are missing between points, not where single snapshots are sparse", () => {
    const apart = (steps: readonly number[]): boolean[] => stretches(0, steps.length - 1, at(steps, 1)).map((part) => part.apart);
    expect(apart([0, 150, 160, 310, 1900, 1900, 1910, 1910, 1920, 1920])).toEqual([false, false, true, false, false]);
    expect(apart([0, 15, 16, 31, 32, 32, 33, 33, 83, 83, 133, 133])).toEqual([false, false, false, false, false, false]);
  });
});

it("extent passes over what is not finite", () => {
  expect(extent([NaN, 3, -1, Infinity], 0, 3)).toEqual([-1, 3]);
  expect(extent([NaN, NaN], 0, 1)).toEqual([NaN, NaN]);
});

it("the outline is broken at a gap, and a lone point is wide enough to be seen", () => {
  const path: string[] = [];
  const context = { beginPath: () => {}, closePath: () => path.push("close"), moveTo: (x: number, y: number) => path.push(`M${x},${y}`), lineTo: (x: number, y: number) => path.push(`${x},${y}`) };
  const parts = stretches(0, 5, at([0, 15, 16, 31, 500, 500], 1));
  traceEnvelope(context as unknown as CanvasRenderingContext2D, [1, 2, NaN, NaN, 4, 4], parts, (value) => -10 * value, 0);
  expect(path).toEqual(["M0,-20", "0,-20", "15,-20", "15,-10", "0,-10", "close", "M500,-40", "500,-40", "501.5,-40", "501.5,-40", "500,-40", "close"]);
});
