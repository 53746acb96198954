import { expect, it } from "vitest";
import { finiteRuns } from "./spark";

it("finds the stretches of finite values", () => {
  const values = [NaN, 1, 2, Infinity, 3, NaN, NaN, 4];
  expect(finiteRuns(values, 0, 7)).toEqual([[1, 2], [4, 4], [7, 7]]);
  expect(finiteRuns(values, 2, 4)).toEqual([[2, 2], [4, 4]]);
  expect(finiteRuns([NaN], 0, 0)).toEqual([]);
  expect(finiteRuns([], 0, -1)).toEqual([]);
});
