/** The snapshot axis that the network's and the layer's charts share: places are snapshots, equally spaced. */

export interface SnapshotAxis {
  readonly steps: Float64Array;
  /** Position of the focus in `steps`; -1 without one. */
  readonly focus: number;
  /** What the left and the right edge show, in positions; they may lie beyond the recorded snapshots. */
  readonly from: number;
  readonly to: number;
}

export interface AxisRequest {
  readonly focus: number;
  readonly window: number;
  /** While following, the newest snapshot stands at the right edge; a pinned focus stands in the centre. */
  readonly following: boolean;
  readonly range: readonly [number, number] | null;
}

export function snapshotAxis(steps: Float64Array, request: AxisRequest): SnapshotAxis {
  const focus = lastAtOrBefore(steps, request.focus);
  if (request.range) {
    const from = firstAtOrAfter(steps, request.range[0]);
    const to = lastAtOrBefore(steps, request.range[1]);
    if (to > from) return { steps, focus, from, to };
  }
  if (request.following) return { steps, focus, from: Math.max(0, Math.min(focus - request.window, focus - 1)), to: focus };
  return { steps, focus, from: focus - request.window, to: focus + request.window };
}

/** Share of the width at which snapshot `index` stands. */
export const shareOf = (axis: SnapshotAxis, index: number): number => (index - axis.from) / Math.max(1e-9, axis.to - axis.from);

/** The recorded snapshot nearest to a share of the width. */
export function indexAt(axis: SnapshotAxis, share: number): number {
  const index = Math.round(axis.from + share * (axis.to - axis.from));
  return Math.min(axis.steps.length - 1, Math.max(0, index));
}

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
