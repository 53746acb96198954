import { expect, it } from "vitest";
import { tickRuns } from "./loss";

it("draws a bar where ticks would merge, and loses none", () => {
  expect(tickRuns([0, 10, 20, 21, 22, 23, 24, 40, 41], 4)).toEqual({ ticks: [0, 10, 40, 41], bars: [[20, 24]] });
  expect(tickRuns([], 4)).toEqual({ ticks: [], bars: [] });
  const dense = Array.from({ length: 1600 }, (_, i) => i * 0.8);
  expect(tickRuns(dense, 4)).toEqual({ ticks: [], bars: [[0, dense[1599]]] });
});
