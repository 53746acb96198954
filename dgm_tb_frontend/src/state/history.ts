/** The loss of every step as held in the browser: grown by `since=` replies, never reloaded as a whole. */

import type { LossReply } from "../api/types";
import { firstAtOrAfter } from "../lib/axis";

export interface LossHistory {
  readonly generation: number;
  readonly columns: readonly string[];
  readonly step: Float64Array;
  readonly wallTime: Float64Array;
  /** One array a column; NaN where not logged. */
  readonly values: readonly Float64Array[];
  readonly logged: readonly Uint8Array[];
  readonly snapshots: Float64Array;
  readonly deep: Float64Array;
}

/**
 * From which step on to ask for more: the earlier of the last loss and the last snapshot, because the two are written
 * at different moments and neither must be missed. Null asks for everything.
 */
export function resumeStep(history: LossHistory | null): number | null {
  const lastLoss = history?.step.at(-1);
  const lastSnapshot = history?.snapshots.at(-1);
  return lastLoss === undefined || lastSnapshot === undefined ? null : Math.min(lastLoss, lastSnapshot);
}

/** The history with a reply to `since` added; what the reply repeats is replaced by it. */
export function merge(history: LossHistory | null, reply: LossReply, since: number | null): LossHistory {
  const keep = history !== null && since !== null && history.generation === reply.generation;
  const from = keep ? firstAfter(history.step, since) : 0;
  const old = keep ? history : null;
  const columns = [...(old?.columns ?? []), ...reply.columns.filter((name) => !old?.columns.includes(name))];
  const n = reply.step.length;
  const column = (name: string): [Float64Array, Uint8Array] => {
    const [a, b] = [old?.columns.indexOf(name) ?? -1, reply.columns.indexOf(name)];
    const values = new Float64Array(from + n).fill(NaN);
    const logged = new Uint8Array(from + n);
    if (a >= 0) (values.set(old!.values[a]!.subarray(0, from)), logged.set(old!.logged[a]!.subarray(0, from)));
    if (b >= 0) (values.set(reply.values.subarray(b * n, (b + 1) * n), from), logged.set(reply.logged.subarray(b * n, (b + 1) * n), from));
    return [values, logged];
  };
  const parts = columns.map(column);
  return {
    generation: reply.generation,
    columns,
    step: joined(old?.step.subarray(0, from), reply.step),
    wallTime: joined(old?.wallTime.subarray(0, from), reply.wallTime),
    values: parts.map(([values]) => values),
    logged: parts.map(([, logged]) => logged),
    snapshots: joined(old?.snapshots.subarray(0, firstAfter(old.snapshots, since!)), reply.snapshots),
    deep: joined(old?.deep.subarray(0, firstAfter(old.deep, since!)), reply.deep),
  };
}

function firstAfter(sorted: Float64Array, value: number): number {
  const at = firstAtOrAfter(sorted, value);
  return sorted[at] === value ? at + 1 : at;
}

function joined(head: Float64Array | undefined, tail: Float64Array): Float64Array {
  if (!head?.length) return tail;
  const out = new Float64Array(head.length + tail.length);
  out.set(head);
  out.set(tail, head.length);
  return out;
}
