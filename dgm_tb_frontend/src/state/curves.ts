/** The curve in every node: its data, on which value axis, or why there is none. */

import { computed } from "@preact/signals";
import type { SparkData } from "../canvas/spark";
import { lastAtOrBefore } from "../lib/axis";
import { isGroup, nameOf } from "../lib/hierarchy";
import { fitScale, seeing, type ValueScale } from "../lib/scale";
import * as atoms from "./atoms";
import { axisFor, hierarchy, programMark } from "./getters";

/** Value scales of the nodes' charts, a row each; one for all when they share it. */
export const scales = computed<readonly ValueScale[]>(() => {
  const data = atoms.aggregates.value.data;
  if (!data) return [];
  const width = data.step.length;
  const name = atoms.scale.value;
  if (atoms.sharedAxis.value) {
    const shared = fitScale(name, [...data.low, ...data.high]);
    return data.nodes.map(() => shared);
  }
  const at = lastAtOrBefore(data.step, data.focus);
  return data.nodes.map((_, row) => {
    const [low, high] = [data.low, data.high].map((values) => values.subarray(row * width, (row + 1) * width)) as [Float32Array, Float32Array];
    return seeing(fitScale(name, [...low, ...high]), [...low.subarray(0, at + 1), ...high.subarray(0, at + 1)]);
  });
});

/** Why a recorded node has no curve for what is chosen at the top. */
export function gapOf(id: string): string | null {
  const node = isGroup(id) ? undefined : hierarchy.peek()?.nodes.get(nameOf(id));
  if (!node?.quantities.length || !atoms.aggregates.peek().data) return null;
  if (!node.quantities.includes(atoms.quantity.peek())) return `no ${atoms.quantity.peek().replaceAll("_", " ")}`;
  const program = atoms.program.peek();
  return program !== null && !node.programs.includes(program) ? `not in ${programMark(program)}` : null;
}

export function sparkOf(row: number): SparkData | null {
  const data = atoms.aggregates.value.data;
  const scale = scales.value[row];
  if (!data || !scale) return null;
  const part = (values: Float32Array): Float32Array => values.subarray(row * data.step.length, (row + 1) * data.step.length);
  return { axis: axisFor(data.step, data.focus), scale, mean: part(data.mean), low: part(data.low), high: part(data.high), nonfinite: part(data.nonfinite) };
}
