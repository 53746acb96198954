/**
 * `window.__dgm`: a read-only account of what the tab shows, for browser tests. Canvases cannot be queried, this can.
 *
 * Everything is a getter and says the state of the moment. Places are pixels of the tab's page (add the frame's own
 * offset for page coordinates of TensorBoard). Nothing here changes anything.
 */

import { isGroup, nameOf } from "../lib/hierarchy";
import * as atoms from "./atoms";
import { credited, deepSteps, onward, origin, outcome, ranked, trial } from "./answers";
import { cause, explained, from, target, to, trail } from "./cause";
import { boxScore, focus, following, layerGap, open, ranking, run, snapshots, span, thinned } from "./getters";
import { probes } from "./probes";
import { picture } from "./tableau";

const LISTED_UNITS = 2000;

export const model = {
  /** Every chart that can be drawn for the present choices is drawn from answers to exactly these. */
  get ready(): boolean {
    const layered = layerGap.peek() === null;
    const asked = [atoms.loss, atoms.graph, atoms.aggregates, ...(layered && atoms.chosenNode.peek() ? [atoms.layer] : []), ...(layered && atoms.chosenUnits.peek().length ? [atoms.neuron] : [])];
    return asked.every(({ value }) => value.data !== null && !value.loading && value.dataKey === value.key) && probes.boxes().length > 0 && !probes.drawing();
  },
  /** Name and state of the run on show. */
  get run() {
    const info = run.peek();
    return info && { name: info.name, state: info.state, snapshots: info.snapshots, lastStep: info.last_step };
  },
  /** The focus step, whether it follows the newest snapshot, and the steps asked for: a range, or null for the window. */
  get focus() {
    return { step: focus.peek(), following: following.peek(), window: atoms.windowSize.peek(), range: span.peek(), whole: atoms.range.peek() === atoms.WHOLE };
  },
  get quantity() {
    return { quantity: atoms.quantity.peek(), statistic: atoms.statistic.peek(), scale: atoms.scale.peek(), theme: atoms.theme.peek() };
  },
  /** The loss chart: how many steps and snapshots it holds, and where a step stands. */
  get loss() {
    const data = atoms.loss.peek().data;
    return { steps: data?.step.length ?? 0, snapshots: [...snapshots.peek()], columns: [...(data?.columns ?? [])], thinned: [...thinned.peek()], pointOf: (step: number) => probes.lossPoint(step) };
  },
  /** Boxes of the network on screen or not: `kind` node or group, place, score (null where it cannot be told). */
  get nodes() {
    return probes.boxes().map(({ id, box, open: shown }) => {
      const score = boxScore(id);
      return { kind: isGroup(id) ? "group" : "node", name: nameOf(id), open: shown, box, score: score && !Number.isNaN(score.score) ? score.score : null, nonfinite: score?.nonfinite ?? 0 };
    });
  },
  /** How the nodes' charts sum snapshots up, and over which steps. */
  get resolution() {
    const data = atoms.aggregates.peek().data;
    return data && { level: data.level, each: data.each, columns: data.step.length, first: data.step[0] ?? null, last: data.step.at(-1) ?? null };
  },
  get openGroups(): string[] {
    return [...open.peek()];
  },
  /** All recorded nodes, the biggest jump first. */
  get ranking() {
    return ranking.peek().map(({ node, score, nonfinite, broke }) => ({ node, score: Number.isNaN(score) ? null : score, nonfinite, broke }));
  },
  /** The layer on show; null without one. `pointOf` places a drawn unit's line at a step. */
  get layer() {
    const data = atoms.layer.peek().data;
    if (!data) return null;
    const units = [...data.unit.subarray(0, LISTED_UNITS)];
    return {
      node: data.node, program: data.program, level: data.level, each: data.each, focus: data.focus, total: data.units, drawn: data.drawn, steps: [...data.step], units,
      outliers: units.filter((_, line) => data.outlier[line]), nonfinite: units.filter((_, line) => data.nonfinite[line]),
      weights: [...data.weight.subarray(0, LISTED_UNITS)], hovered: atoms.hoveredUnit.peek(), density: atoms.density.peek().data !== null,
      pointOf: (unit: number, step: number) => probes.unitPoint(unit, step),
    };
  },
  /** What is chosen: node and units, and the units whose full series are on show. */
  get selection() {
    return { node: atoms.chosenNode.peek(), units: [...atoms.chosenUnits.peek()], series: [...(atoms.neuron.peek().data?.units ?? [])], level: atoms.neuron.peek().data?.level ?? null, steps: [...(atoms.neuron.peek().data?.step ?? [])], statistic: atoms.seriesStatistic.peek() };
  },
  /** The neuron level: what is explained since when, how far the worker is, the columns with their tiles, what was tried; null while it is closed. */
  get credit() {
    const [answer, shown, how] = [credited.peek(), picture.peek(), cause.peek()];
    if (!how) return null;
    const reply = answer.dataKey === answer.key ? answer.data : null;
    return {
      target: target.peek(), of: explained.peek(), method: how.method, batch: how.batch, from: from.peek(), to: to.peek(), trail: trail.peek().map((stop) => ({ ...stop })),
      state: answer.state, message: answer.message, laterState: onward.peek().state, before: reply?.before ?? null, after: reply?.after ?? null, gap: reply?.gap ?? null, converged: reply?.converged ?? null, pathNodes: reply?.nodes ?? answer.nodes,
      aim: shown?.target ?? null,
      columns: shown?.columns.map(({ scale, blocks }) => ({ scale, blocks: blocks.map(({ node, units, sum, tiles, piles }) => ({ node, units, sum, tiles: tiles.map(({ unit, credit, share }) => ({ unit, credit, share })), others: piles.reduce((count, { units }) => count + units.length, 0) })) })) ?? [],
      samples: { ...ranked.peek() },       trial: trial.peek(), outcome: outcome.peek().data, outcomeState: outcome.peek().state,
    };
  },
  /** Where values ceased to be finite, as far as that was asked and answered. */
  get origin() {
    return { state: origin.peek().state, message: origin.peek().message, ...origin.peek().data?.origin };
  },
  /** Steps of the deep snapshots. */
  get deep(): number[] {
    return [...deepSteps.peek()];
  },
  /** Errors on show, by panel. */
  get errors() {
    const all = { server: atoms.connectionError.peek(), loss: atoms.loss.peek().error, graph: atoms.graph.peek().error, aggregates: atoms.aggregates.peek().error,
      layer: atoms.layer.peek().error, density: atoms.density.peek().error, neuron: atoms.neuron.peek().error };
    return Object.fromEntries(Object.entries(all).filter(([, error]) => error !== null));
  },
};

export function publishModel(): void {
  Object.defineProperty(window, "__dgm", { value: Object.freeze(model), configurable: true });
}
