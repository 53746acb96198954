/** A long curve as a small chart can show it: columns that share a place become two, the least and the greatest of them. */

import { columnOf, onAxis, type SnapshotAxis } from "./axis";
import type { Curve } from "./curvescale";

/** Columns that a node's chart holds at most: about two a pixel at its usual zoom. */
export const MOST_COLUMNS = 256;

/** First and last column of each group. */
type Groups = readonly (readonly [first: number, last: number])[];

/** The axis with few columns, and the groups that they stand for; null groups where it has few already. */
export function condensedAxis(axis: SnapshotAxis): { readonly axis: SnapshotAxis; readonly groups: Groups | null } {
  if (axis.steps.length <= MOST_COLUMNS) return { axis, groups: null };
  // Whole points only, which are two columns; what is off the axis is left out.
  const [first, last] = [onAxis(axis)[0] & ~1, onAxis(axis)[1]];
  const size = 2 * Math.ceil((last - first + 1) / MOST_COLUMNS);
  const groups: [number, number][] = [];
  for (let from = first; from <= last; from += size) groups.push([from, Math.min(axis.steps.length - 1, from + size - 1)]);
  const picked = (values: Float64Array): Float64Array => Float64Array.from(groups.flat(), (column) => values[column]!);
  const steps = picked(axis.steps);
  return { axis: { ...axis, steps, places: picked(axis.places), focus: axis.focus < 0 ? -1 : columnOf(steps, axis.steps[axis.focus]!) }, groups };
}

/** Least and greatest of each group in the order in which they come, so that a jump of one column is still seen. */
export function condensed(values: Float32Array, groups: Groups | null): Float32Array {
  if (!groups) return values;
  const out = new Float32Array(2 * groups.length);
  groups.forEach(([first, last], k) => {
    let [low, high] = [-1, -1];
    for (let i = first; i <= last; i++) {
      if (!Number.isFinite(values[i]!)) continue;
      if (low < 0 || values[i]! < values[low]!) low = i;
      if (high < 0 || values[i]! > values[high]!) high = i;
    }
    out[2 * k] = low < 0 ? NaN : values[Math.min(low, high)]!;
    out[2 * k + 1] = low < 0 ? NaN : values[Math.max(low, high)]!;
  });
  return out;
}

/** The band of a condensed curve: in each group its least low and its greatest high. */
export function condensedCurve(curve: Curve, groups: Groups | null): Curve {
  if (!groups) return curve;
  const both = (values: Float32Array, pick: (a: number, b: number) => number): Float32Array =>
    condensed(values, groups).map((_, i, all) => pick(all[i & ~1]!, all[i | 1]!));
  return { mean: condensed(curve.mean, groups), low: both(curve.low, Math.min), high: both(curve.high, Math.max) };
}
