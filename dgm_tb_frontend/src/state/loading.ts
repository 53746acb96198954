/** What is fetched when: one effect a resource, each asking only what its atoms say, none while the tab is hidden. */

import { effect } from "@preact/signals";
import { fetchAggregates, fetchDensity, fetchGraph, fetchLayer, fetchLoss, fetchNeuron, type Params } from "../api/client";
import * as atoms from "./atoms";
import { focus, focusIndex, following, layerGap, run, snapshots, span } from "./getters";
import { merge, resumeStep } from "./history";
import { ask, clear, type Manners, type Resource } from "./resource";
import { lengthen, resumeSeries } from "./series";

/** Pixels of the density image; the browser scales it to the chart. */
const DENSITY = { width: 400, height: 200 };

/** Part of a question that changes when new snapshots reach into the window. */
const tail = (): string => (focusIndex.value + atoms.windowSize.value >= snapshots.value.length - 1 ? `${snapshots.value.length}` : "full");

/** Which steps are asked for – a window around the focus, with which its jump is compared, or a range – and how far the run had grown. */
type Moment = readonly [steps: Readonly<Record<string, number | null>>, tail: string];

/** The last part of a question: all that differs while a followed run goes on and nothing is chosen anew. */
function moment(): Moment {
  const [range, around] = [span.value, { focus: focus.value, window: atoms.windowSize.value }];
  return range ? [{ ...around, first: range[0], last: range[1] }, ""] : [around, tail()];
}

const question = (...parts: readonly unknown[]): string => JSON.stringify(parts);

/** Whether two questions agree on their first `n` parts. */
function alike(a: string, b: string, n: number): boolean {
  if (!a || !b) return false;
  const [p, q] = [JSON.parse(a) as unknown[], JSON.parse(b) as unknown[]];
  return p.slice(0, n).every((part, i) => JSON.stringify(part) === JSON.stringify(q[i]));
}

/** Whether two questions differ by their moment at most. */
const sameSubject = (a: string, b: string): boolean => alike(a, b, (JSON.parse(b || "[0]") as unknown[]).length - 1);

/** Data are kept where the first `same` parts of the question agree. */
const manners = (resource: Resource<unknown>, key: string, same: number): Manners =>
  ({ keep: alike(resource.dataKey, key, same), patient: following.value && sameSubject(resource.key, key) });

const loadLoss = (): void => {
  const info = run.value;
  if (!info || !atoms.visible.value) return;
  const key = question(info.name, info.generation, info.losses, info.snapshots, info.last_step);
  const { dataKey } = atoms.loss.value;
  const held = alike(dataKey, key, 2) ? atoms.loss.peek().data : null;
  const since = resumeStep(held);
  // A run's generation grows whenever snapshots are thinned: what is on show stays until all of it has come anew.
  ask(atoms.loss, key, { keep: alike(dataKey, key, 1) }, async (signal) => merge(held, await fetchLoss({ run: info.name, since }, signal), since));
};

const loadGraph = (): void => {
  const info = run.value;
  if (!info || !atoms.visible.value || info.snapshots + info.losses === 0) return;
  const key = question(info.name, info.generation, info.graph);
  ask(atoms.graph, key, { keep: alike(atoms.graph.value.dataKey, key, 1) }, (signal) => fetchGraph(info.name, signal));
};

const loadAggregates = (): void => {
  const info = run.value;
  if (!info || focus.value === null || !atoms.visible.value) return;
  const params = { run: info.name, quantity: atoms.quantity.value, statistic: atoms.statistic.value };
  const when = moment();
  const key = question(info.name, info.generation, params, atoms.range.value, atoms.windowSize.value, when);
  ask(atoms.aggregates, key, manners(atoms.aggregates.value, key, 1), (signal) => fetchAggregates({ ...params, ...when[0] }, signal));
};

const loadLayer = (): void => {
  const info = run.value;
  const node = atoms.chosenNode.value;
  if (layerGap.value) return clear(atoms.layer);
  if (!info || !node || focus.value === null || !atoms.visible.value) return;
  const { quantity, statistic, scale, program, lineBudget } = atoms;
  const params = { run: info.name, node, program: program.value, quantity: quantity.value, statistic: statistic.value, scale: scale.value };
  const when = moment();
  const key = question(info.name, node, quantity.value, info.generation, params, atoms.range.value, atoms.windowSize.value, lineBudget.value, when);
  ask(atoms.layer, key, manners(atoms.layer.value, key, 3), (signal) => fetchLayer({ ...params, m: lineBudget.peek(), ...when[0] }, signal));
};

const loadDensity = (): void => {
  const { key: asked, dataKey: answered } = atoms.layer.value;
  // The lines come first: both are read from the same rows, which the server then has at hand. Lines and density are of one moment.
  if (!answered || !sameSubject(asked, answered) || !atoms.visible.value) return;
  const [name, node, quantity, generation, params, range, width, , when] = JSON.parse(answered) as [string, string, string, number, Params, unknown, number, number, Moment];
  const key = question(name, node, quantity, generation, params, range, width, when);
  ask(atoms.density, key, manners(atoms.density.value, key, 3), (signal) => fetchDensity({ ...params, ...when[0], ...DENSITY }, signal));
};

const loadNeuron = (): void => {
  const info = run.value;
  const node = atoms.chosenNode.value;
  const units = atoms.chosenUnits.value;
  if (!info || !node || !units.length || layerGap.value) return clear(atoms.neuron);
  if (!atoms.visible.value) return;
  const params = { run: info.name, node, program: atoms.program.value, quantity: atoms.quantity.value, units: units.join(",") };
  // A range that grows with the run is the whole recording, which is what is answered without one.
  const range = atoms.range.value === atoms.WHOLE ? null : span.value;
  const key = question(info.name, node, params.quantity, info.generation, params, range, range ? "" : info.snapshots);
  const held = !range && alike(atoms.neuron.value.dataKey, key, 6) ? atoms.neuron.peek().data : null;
  const since = resumeSeries(held);
  const asked = range ? { ...params, first: range[0], last: range[1] } : { ...params, since };
  ask(atoms.neuron, key, { keep: alike(atoms.neuron.value.dataKey, key, 3), patient: alike(atoms.neuron.value.key, key, 6) },
    async (signal) => lengthen(held, await fetchNeuron(asked, signal), since));
};

/** Starts all loading; the result stops it. */
export function startLoading(): () => void {
  const stops = [loadLoss, loadGraph, loadAggregates, loadLayer, loadDensity, loadNeuron].map((load) => effect(load));
  return () => stops.forEach((stop) => stop());
}
