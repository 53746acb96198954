/** The units' series as held in the browser: lengthened while columns are snapshots, replaced where points sum them up. */

import type { NeuronReply } from "../api/types";
import { lastAtOrBefore } from "../lib/axis";

/** From which step on to ask for more; null asks for everything. */
export const resumeSeries = (held: NeuronReply | null): number | null => (held && held.level === 0 ? held.step.at(-1) ?? null : null);

/** The series with a reply to `since` added; a reply of another generation or level stands for itself. */
export function lengthen(held: NeuronReply | null, reply: NeuronReply, since: number | null): NeuronReply {
  if (!held || since === null || reply.level > 0 || held.level > 0 || reply.generation !== held.generation) return reply;
  const kept = lastAtOrBefore(held.step, since) + 1;
  if (!reply.step.length && kept === held.step.length) return held;
  const width = kept + reply.step.length;
  const step = new Float64Array(width);
  step.set(held.step.subarray(0, kept));
  step.set(reply.step, kept);
  const rows = reply.units.length * reply.statistics.length;
  const values = new Float32Array(rows * width);
  for (let row = 0; row < rows; row++) {
    values.set(held.values.subarray(row * held.step.length, row * held.step.length + kept), row * width);
    values.set(reply.values.subarray(row * reply.step.length, (row + 1) * reply.step.length), row * width + kept);
  }
  return { ...reply, step, values };
}
