/** The test of a cause that the panel proposes: the target's layer kept within what its units were at the step before. */

import { computed } from "@preact/signals";
import { lastAtOrBefore } from "../lib/axis";
import type { Tried } from "../lib/causewords";
import * as atoms from "./atoms";
import { from, target, to } from "./cause";

/** Where the recorded range is not known. */
export const CLAMP = [-6, 6] as const;

/** The least and the greatest that the chosen units were at the earlier step, as recorded; null where that is not known. */
export const recordedRange = computed<readonly [number, number] | null>(() => {
  const [data, step] = [atoms.neuron.value.data, from.value];
  if (!data || step === null || data.quantity !== "activation") return null;
  const at = lastAtOrBefore(data.step, step);
  const [low, high] = (["min", "max"] as const).map((name) => data.statistics.indexOf(name));
  if (at < 0 || low! < 0 || high! < 0) return null;
  const all = (row: number): number[] => data.units.map((_, unit) => data.values[(unit * data.statistics.length + row) * data.step.length + at]!);
  const found = [Math.min(...all(low!)), Math.max(...all(high!))] as const;
  return found.every(Number.isFinite) && found[0] < found[1] ? [Number(found[0].toPrecision(2)), Number(found[1].toPrecision(2))] : null;
});

export const proposal = computed<Tried | null>(() => {
  const [aim, step, [low, high]] = [target.value, to.value, recordedRange.value ?? CLAMP];
  return aim === null || step === null ? null : { change: "clamp", at: aim.node, of: [], low, high, step, previous: from.value };
});
