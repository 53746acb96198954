/** What is fetched when: one effect a resource, each asking only what its atoms say, none while the tab is hidden. */

import { effect } from "@preact/signals";
import { fetchAggregates, fetchDensity, fetchGraph, fetchLayer, fetchLoss, fetchNeuron } from "../api/client";
import * as atoms from "./atoms";
import { focus, focusIndex, layerGap, reach, run, snapshots } from "./getters";
import { merge, resumeStep } from "./history";
import { ask, clear } from "./resource";

/** Pixels of the density image; the browser scales it to the chart. */
const DENSITY = { width: 400, height: 200 };

/** Part of a question that changes when new snapshots reach into the window. */
const tail = (): string => (focusIndex.value + reach.value >= snapshots.value.length - 1 ? `${snapshots.value.length}` : "full");

const question = (...parts: readonly unknown[]): string => JSON.stringify(parts);

/** Whether two questions agree on their first `n` parts: the old data are then worth showing until the new ones come. */
function alike(a: string, b: string, n: number): boolean {
  if (!a || !b) return false;
  const [p, q] = [JSON.parse(a) as unknown[], JSON.parse(b) as unknown[]];
  return p.slice(0, n).every((part, i) => JSON.stringify(part) === JSON.stringify(q[i]));
}

const loadLoss = (): void => {
  const info = run.value;
  if (!info || !atoms.visible.value) return;
  const key = question(info.name, info.generation, info.losses, info.snapshots, info.last_step);
  const same = alike(atoms.loss.value.dataKey, key, 2);
  const held = same ? atoms.loss.peek().data : null;
  const since = resumeStep(held);
  ask(atoms.loss, key, same, async (signal) => merge(held, await fetchLoss({ run: info.name, since }, signal), since));
};

const loadGraph = (): void => {
  const info = run.value;
  if (!info || !atoms.visible.value || info.snapshots + info.losses === 0) return;
  const key = question(info.name, info.generation, info.graph);
  ask(atoms.graph, key, alike(atoms.graph.value.dataKey, key, 1), (signal) => fetchGraph(info.name, signal));
};

const loadAggregates = (): void => {
  const info = run.value;
  if (!info || focus.value === null || !atoms.visible.value) return;
  const params = { run: info.name, quantity: atoms.quantity.value, statistic: atoms.statistic.value, focus: focus.value, window: reach.value };
  const key = question(info.name, info.generation, params, tail());
  ask(atoms.aggregates, key, alike(atoms.aggregates.value.dataKey, key, 1), (signal) => fetchAggregates(params, signal));
};

/** The layer's question and its parameters; null when no layer is on show. */
function layerQuestion() {
  const info = run.value;
  const node = atoms.chosenNode.value;
  if (!info || !node || focus.value === null || !atoms.visible.value || layerGap.value) return null;
  const params = {
    run: info.name, node, program: atoms.program.value, quantity: atoms.quantity.value, statistic: atoms.statistic.value,
    focus: focus.value, window: reach.value, m: atoms.lineBudget.value, scale: atoms.scale.value,
  };
  return { key: question(info.name, info.generation, node, params.quantity, params, tail()), params };
}

const loadLayer = (): void => {
  const asked = layerQuestion();
  if (layerGap.value) return clear(atoms.layer);
  if (!asked) return;
  ask(atoms.layer, asked.key, alike(atoms.layer.value.dataKey, asked.key, 4), (signal) => fetchLayer(asked.params, signal));
};

const loadDensity = (): void => {
  const asked = layerQuestion();
  // The lines come first: both are read from the same rows, which the server then has at hand.
  if (!asked || atoms.layer.value.dataKey !== asked.key) return;
  const { m: _, ...params } = asked.params;
  const key = question(asked.params.run, run.value?.generation, params.node, params.quantity, params, tail());
  ask(atoms.density, key, alike(atoms.density.value.dataKey, key, 4), (signal) => fetchDensity({ ...params, ...DENSITY }, signal));
};

const loadNeuron = (): void => {
  const info = run.value;
  const node = atoms.chosenNode.value;
  const units = atoms.chosenUnits.value;
  if (!info || !node || !units.length || layerGap.value) return clear(atoms.neuron);
  if (!atoms.visible.value) return;
  const params = { run: info.name, node, program: atoms.program.value, quantity: atoms.quantity.value, units: units.join(",") };
  const key = question(info.name, info.generation, node, params.quantity, params, info.snapshots);
  ask(atoms.neuron, key, alike(atoms.neuron.value.dataKey, key, 4), (signal) => fetchNeuron(params, signal));
};

/** Starts all loading; the result stops it. */
export function startLoading(): () => void {
  const stops = [loadLoss, loadGraph, loadAggregates, loadLayer, loadDensity, loadNeuron].map((load) => effect(load));
  return () => stops.forEach((stop) => stop());
}
