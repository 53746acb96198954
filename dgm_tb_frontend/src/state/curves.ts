/** The curve in every node: its data, on which value axis, or why there is none. */

import { computed } from "@preact/signals";
import type { SparkData } from "../canvas/spark";
import { columnOf } from "../lib/axis";
import { condensed, condensedAxis, condensedCurve } from "../lib/condense";
import { type CurveScale, curveScale } from "../lib/curvescale";
import { isGroup, nameOf } from "../lib/hierarchy";
import { fitScale } from "../lib/scale";
import * as atoms from "./atoms";
import { axisFor, hierarchy, programMark } from "./getters";

/** The axis of all nodes' charts, with few enough columns to be drawn at every move of the pointer. */
const shared = computed(() => {
  const data = atoms.aggregates.value.data;
  return data && data.step.length ? condensedAxis(axisFor(data.step, data.focus, data.level)) : null;
});

/** What is drawn, a row each. */
const curves = computed(() => {
  const [data, at] = [atoms.aggregates.value.data, shared.value];
  if (!data || !at) return [];
  const width = data.step.length;
  return data.nodes.map((_, row) => {
    const part = (values: Float32Array): Float32Array => values.subarray(row * width, (row + 1) * width);
    const curve = condensedCurve({ mean: part(data.mean), low: part(data.low), high: part(data.high) }, at.groups);
    return { ...curve, nonfinite: condensed(part(data.nonfinite), at.groups) };
  });
});

/** Value axes of the nodes' charts, a row each; one for all when they share it. */
export const scales = computed<readonly CurveScale[]>(() => {
  const [data, at, all] = [atoms.aggregates.value.data, shared.value, curves.value];
  if (!data || !at) return [];
  if (atoms.sharedAxis.value) {
    const scale = fitScale(atoms.scale.value, all.flatMap(({ low, high }) => [...low, ...high]));
    return all.map(() => ({ scale, cut: { low: false, high: false } }));
  }
  const focus = columnOf(at.axis.steps, data.focus);
  return all.map((curve) => curveScale(atoms.scale.value, curve, focus));
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
  const [curve, scale, at] = [curves.value[row], scales.value[row], shared.value];
  return curve && scale && at ? { axis: at.axis, ...scale, ...curve } : null;
}
