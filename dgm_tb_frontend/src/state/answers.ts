/** What was answered about the neuron level: deep snapshots, credit, the origin of what is not finite, samples, a test. */

import { computed, signal } from "@preact/signals";
import type { Credit, DeepReply, OriginDone, Outcome, SampleReply } from "../api/credit";
import { lastAtOrBefore } from "../lib/axis";
import type { Tried } from "../lib/causewords";
import { extremes } from "../lib/share";
import { type Answer, unasked } from "./asking";
import * as atoms from "./atoms";
import { emptyResource, type Resource } from "./resource";

/** The run's deep snapshots; the loss's own list forgets none that were deleted. */
export const deepList = signal<Resource<DeepReply>>(emptyResource());
/** What the deep snapshot that is explained holds. */
export const contents = signal<Resource<DeepReply>>(emptyResource());
/** Who accounts for the target; from before it. */
export const credited = signal<Answer<Credit>>(unasked());
/** Which later units its gradient comes through. */
export const onward = signal<Answer<Credit>>(unasked());
/** Where values ceased to be finite. */
export const origin = signal<Answer<OriginDone>>(unasked());
/** The samples on show. */
export const pictures = signal<Resource<SampleReply>>(emptyResource());

/** The intervention last tried, and what came of it. */
export const trial = signal<Tried | null>(null);
export const outcome = signal<Answer<Outcome>>(unasked());

/** Steps of the deep snapshots there are, ascending. */
export const deepSteps = computed<readonly number[]>(() => deepList.value.data?.deep.map(({ step }) => step) ?? []);

/** The loss at a step as it was logged; undefined where none was. */
export function lossAt(step: number): number | undefined {
  const data = atoms.loss.value.data;
  const at = data ? lastAtOrBefore(data.step, step) : -1;
  return data && at >= 0 && data.step[at] === step && data.logged[0]?.[at] ? data.values[0]![at] : undefined;
}

/** The first step whose loss was logged and is not finite; null where there is none. */
export const broke = computed<number | null>(() => {
  const data = atoms.loss.value.data;
  const at = data?.values[0]?.findIndex((value, k) => !Number.isFinite(value) && Boolean(data.logged[0]![k])) ?? -1;
  return at < 0 ? null : data!.step[at]!;
});

/** Whether the target, or the way to it, is not finite: then no parts add up to anything. */
export const broken = computed(() => credited.value.data !== null && !Number.isFinite(credited.value.data.after - credited.value.data.before + credited.value.data.gap));

/** Samples on show at most, of each kind. */
const SHOWN = 6;

/** What each sample of the batch shows of it; of a loss, what its inputs bring in. */
export const bySample = computed<Float32Array>(() => {
  const reply = credited.value.data;
  if (!reply) return new Float32Array();
  if (reply.samples.length) return reply.samples;
  const [first] = reply.inputs.values();
  const batch = first?.shape[0] ?? 0;
  const each = batch ? first!.data.length / batch : 0;
  return Float32Array.from({ length: batch }, (_, at) => first!.data.subarray(at * each, (at + 1) * each).reduce((sum, value) => sum + value, 0));
});

/** The samples that show most and least of the target's change. */
export const ranked = computed(() => extremes(bySample.value, SHOWN));
