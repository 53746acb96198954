import { expect, it } from "vitest";
import { shareOf, shareOfFocus, snapshotAxis } from "./axis";
import { condensed, condensedAxis, condensedCurve, MOST_COLUMNS } from "./condense";

const axisOf = (columns: number, level: number) => {
  const steps = Float64Array.from({ length: columns }, (_, i) => i * 10);
  return snapshotAxis(steps, { focus: 70 * 10, window: columns, following: false, range: [0, (columns - 1) * 10], level });
};

it("leaves a short curve as it is", () => {
  const axis = axisOf(MOST_COLUMNS, 0);
  expect(condensedAxis(axis)).toEqual({ axis, groups: null });
  const values = new Float32Array(3);
  expect(condensed(values, null)).toBe(values);
});

it.each([[2000, 0], [2048, 1], [257, 0], [650, 2]])("%i columns of level %i become few, from edge to edge", (columns, level) => {
  const full = axisOf(columns, level);
  const { axis, groups } = condensedAxis(full);
  expect(axis.steps.length).toBeLessThanOrEqual(MOST_COLUMNS + 2);
  expect([shareOf(axis, 0), shareOf(axis, axis.steps.length - 1), shareOfFocus(axis)]).toEqual([0, 1, shareOfFocus(full)]);
  // Together the groups are all columns, once each.
  expect(groups!.flatMap(([a, b]) => Array.from({ length: b - a + 1 }, (_, i) => a + i))).toEqual([...full.steps.keys()]);
});

it("keeps a jump of a single column, in the order in which it came", () => {
  const groups = [[0, 3], [4, 7], [8, 9]] as const;
  expect([...condensed(Float32Array.from([0, 9, 1, 1, NaN, 2, -5, 2, NaN, NaN]), groups)]).toEqual([0, 9, 2, -5, NaN, NaN]);
});

it("a band is as low as its lowest and as high as its highest column", () => {
  const curve = { mean: Float32Array.from([1, 2, 3, 4]), low: Float32Array.from([0, -7, 0, 1]), high: Float32Array.from([5, 3, 9, 4]) };
  const { mean, low, high } = condensedCurve(curve, [[0, 3]]);
  expect([[...mean], [...low], [...high]]).toEqual([[1, 4], [-7, -7], [9, 9]]);
});
