/** Which snapshot a place of the loss chart means where several share a pixel: the one with the greatest loss. */

import { firstAtOrAfter, lastAtOrBefore, nearest } from "./axis";

export interface Losses {
  readonly step: Float64Array;
  /** The loss of each step; NaN and infinities count as greater than any number. */
  readonly value: ArrayLike<number>;
  readonly logged: ArrayLike<number>;
}

/**
 * The snapshot with the greatest loss among those within `reach` steps of a place – of equals the first, so that the
 * step at which a loss ceased to be finite is met and not one after it. Where there is none, the nearest; null without
 * snapshots.
 */
export function snapshotAt(snapshots: Float64Array, place: number, reach: number, losses: Losses | null): number | null {
  const [first, last] = [firstAtOrAfter(snapshots, place - reach), lastAtOrBefore(snapshots, place + reach)];
  if (last <= first || !losses) return snapshots[nearest(snapshots, place)] ?? null;
  let best = snapshots[first]!;
  for (let i = first + 1; i <= last; i++) if (size(losses, snapshots[i]!) > size(losses, best)) best = snapshots[i]!;
  return best;
}

function size(losses: Losses, step: number): number {
  const at = lastAtOrBefore(losses.step, step);
  if (at < 0 || losses.step[at] !== step || !losses.logged[at]) return -Infinity;
  return Number.isFinite(losses.value[at]!) ? losses.value[at]! : Infinity;
}
