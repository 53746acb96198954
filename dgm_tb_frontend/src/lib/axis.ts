/** The axis that the network's and the layer's charts share: snapshots, equally spaced, or steps where a reply sums them up. */

export interface SnapshotAxis {
  readonly steps: Float64Array;
  /** Where each column stands: at its position where columns are snapshots, at its step where pairs of them sum several up. */
  readonly places: Float64Array;
  /** Whether places are steps. */
  readonly bySteps: boolean;
  /** Column of the focus; -1 where none shows it. */
  readonly focus: number;
  /** Where the focus itself stands; NaN without one. */
  readonly focusPlace: number;
  /** What the left and the right edge show, in places; they may lie beyond the recorded snapshots. */
  readonly from: number;
  readonly to: number;
}

export interface AxisRequest {
  readonly focus: number;
  readonly window: number;
  /** While following, the newest snapshot stands at the right edge; a pinned focus stands in the centre. */
  readonly following: boolean;
  readonly range: readonly [number, number] | null;
  /** The reply's level: from 1 on two columns are a point that sums several snapshots up. */
  readonly level: number;
}

export function snapshotAxis(steps: Float64Array, request: AxisRequest): SnapshotAxis {
  const focus = columnOf(steps, request.focus);
  const [first, last] = request.range ?? [steps[0] ?? 0, steps[steps.length - 1] ?? 1];
  // Points stand for unequal numbers of snapshots, and a step is what they have in common with every other chart.
  if (request.level > 0) return { steps, places: steps, bySteps: true, focus, focusPlace: request.focus, from: first, to: Math.max(last, first + 1) };
  const axis = { steps, places: steps.map((_, index) => index), bySteps: false, focus, focusPlace: focus < 0 ? NaN : focus };
  if (request.range) {
    const [from, to] = [firstAtOrAfter(steps, first), lastAtOrBefore(steps, last)];
    if (to > from) return { ...axis, from, to };
  }
  const at = lastAtOrBefore(steps, request.focus);
  if (request.following) return { ...axis, from: Math.max(0, Math.min(at - request.window, at - 1)), to: at };
  return { ...axis, from: at - request.window, to: at + request.window };
}

/** The column that shows `step`; -1 where it lies before or after all of them. */
export const columnOf = (steps: Float64Array, step: number): number => (step > steps[steps.length - 1]! ? -1 : lastAtOrBefore(steps, step));

const shareOfPlace = (axis: SnapshotAxis, place: number): number => (place - axis.from) / Math.max(1e-9, axis.to - axis.from);

/** Share of the width at which column `index` stands. */
export const shareOf = (axis: SnapshotAxis, index: number): number => shareOfPlace(axis, axis.places[index]!);

/** Share of the width at which the focus stands; NaN without one. */
export const shareOfFocus = (axis: SnapshotAxis): number => shareOfPlace(axis, axis.focusPlace);

/** Share of the width at which a step stands; NaN before the first snapshot. */
export function shareOfStep(axis: SnapshotAxis, step: number): number {
  const index = lastAtOrBefore(axis.steps, step);
  return index < 0 ? NaN : axis.bySteps ? shareOfPlace(axis, step) : shareOf(axis, index);
}

/** The recorded column nearest to a share of the width. */
export const indexAt = (axis: SnapshotAxis, share: number): number => nearest(axis.places, axis.from + share * (axis.to - axis.from));

/** The step at a share of the width: a recorded one where columns are snapshots. */
export function stepAtShare(axis: SnapshotAxis, share: number): number | null {
  const index = indexAt(axis, share);
  if (index < 0) return null;
  const place = Math.round(axis.from + share * (axis.to - axis.from));
  return axis.bySteps ? Math.min(axis.steps[axis.steps.length - 1]!, Math.max(axis.steps[0]!, place)) : axis.steps[index]!;
}

/** First and last on-screen column of the axis, with one more on each side. */
export const onAxis = (axis: SnapshotAxis): [number, number] =>
  [Math.max(0, lastAtOrBefore(axis.places, axis.from) - 1), Math.min(axis.places.length - 1, firstAtOrAfter(axis.places, axis.to) + 1)];

/** Position of the last value at or before `value`, -1 if there is none; `sorted` is ascending. */
export function lastAtOrBefore(sorted: ArrayLike<number>, value: number): number {
  let [low, high] = [0, sorted.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (sorted[middle]! <= value) low = middle + 1;
    else high = middle;
  }
  return low - 1;
}

export function firstAtOrAfter(sorted: ArrayLike<number>, value: number): number {
  const before = lastAtOrBefore(sorted, value);
  return before >= 0 && sorted[before] === value ? before : before + 1;
}

/** Position of the value nearest to `value`; -1 in an empty array. */
export function nearest(sorted: ArrayLike<number>, value: number): number {
  const before = lastAtOrBefore(sorted, value);
  const after = before + 1;
  if (before < 0) return sorted.length ? 0 : -1;
  if (after >= sorted.length) return before;
  return value - sorted[before]! <= sorted[after]! - value ? before : after;
}
