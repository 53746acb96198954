/** Everything that follows from the atoms, memoised. */

import { computed } from "@preact/signals";
import { columnOf, firstAtOrAfter, lastAtOrBefore, type SnapshotAxis, snapshotAxis } from "../lib/axis";
import { buildHierarchy, groupId, type Hierarchy, initialExpansion, isGroup, nameOf, nodeId, visibleLeaves } from "../lib/hierarchy";
import { sharedPrefix } from "../lib/names";
import { sampled } from "../lib/sampled";
import type { GraphNode, RunInfo } from "../api/types";
import * as atoms from "./atoms";

/** Boxes that the graph opens to by itself: what a panel of usual size shows legibly. The user may open more. */
const INITIAL_BOXES = 60;

export const sortedRuns = computed<readonly RunInfo[]>(() =>
  [...atoms.runs.value.values()].sort((a, b) => b.last_wall_time - a.last_wall_time || a.name.localeCompare(b.name)));

/** The newest run with snapshots, else the newest. */
export const newestRun = computed<RunInfo | null>(() => sortedRuns.value.find((info) => info.snapshots > 0) ?? sortedRuns.value[0] ?? null);

/** The run on show: the chosen one if it is there, else the first. */
export const run = computed<RunInfo | null>(() => {
  const chosen = atoms.chosenRun.value;
  if (chosen !== null) return atoms.runs.value.get(chosen) ?? null;
  return atoms.runs.value.get(atoms.firstRun.value ?? "") ?? newestRun.value;
});

/** Stretches of steps whose single snapshots were given up. */
export const thinned = computed<RunInfo["thinned"]>(() => run.value?.thinned ?? []);

/** Steps of all snapshots of the run that there are, ascending; none of a thinned stretch. */
export const snapshots = computed<Float64Array>(() => atoms.loss.value.data?.snapshots ?? new Float64Array());

/** Metrics drawn in the loss chart; what the recorder itself logs of a loss (`dgm/…`) is no loss. */
export const metrics = computed<ReadonlySet<string>>(() => {
  const columns = atoms.loss.value.data?.columns ?? [];
  return atoms.shownMetrics.value ?? new Set([...columns.slice(0, 1), ...columns.slice(1).filter((name) => /loss/i.test(name) && !name.startsWith("dgm/")).slice(0, 3)]);
});

/** The value axis of the loss chart: symlog once the loss has left its usual size a hundredfold behind. */
export const lossScale = computed<atoms.LossScale>(() => {
  const chosen = atoms.lossScale.value;
  if (chosen) return chosen;
  const sizes = Float64Array.from(sampled(atoms.loss.value.data?.values[0] ?? [], 20_000), Math.abs).sort();
  const median = sizes[sizes.length >> 1] ?? 0;
  return (sizes.at(-1) ?? 0) > 100 * median ? "symlog" : "linear";
});

/** Whether the view follows the newest snapshot. */
export const following = computed(() => atoms.pinned.value === null);

/** The focus: the snapshot at or before the pinned step, or the newest one; null without snapshots. */
export const focus = computed<number | null>(() => {
  const steps = snapshots.value;
  if (!steps.length) return null;
  const pin = atoms.pinned.value;
  const at = pin === null ? steps.length - 1 : Math.max(0, lastAtOrBefore(steps, pin));
  return steps[at]!;
});

/** Position of the focus among all snapshots; -1 without one. */
export const focusIndex = computed(() => (focus.value === null ? -1 : lastAtOrBefore(snapshots.value, focus.value)));

/** First and last step of what was recorded, summed up or not; null before the first snapshot. */
const recorded = computed<readonly [number, number] | null>(() => {
  const [steps, gone] = [snapshots.value, thinned.value];
  const ends = [steps[0], steps.at(-1), gone[0]?.[0], gone.at(-1)?.[1]].filter((step) => step !== undefined);
  return ends.length ? [Math.min(...ends), Math.max(...ends)] : null;
});

/** The steps asked for by a brushed range or the whole run; null where the window around the focus is asked for. */
export const span = computed<readonly [first: number, last: number] | null>(() => {
  const [chosen, all] = [atoms.range.value, recorded.value];
  if (!chosen || !all) return null;
  const [first, last] = [Math.max(chosen[0], all[0]), Math.min(chosen[1], all[1])];
  const held = lastAtOrBefore(snapshots.value, last) - firstAtOrAfter(snapshots.value, first) + 1;
  return held > 1 || thinned.value.some(([a, b]) => a <= last && b >= first) ? [first, last] : null;
});

/** The axis on which a reply's steps are drawn. */
export const axisFor = (steps: Float64Array, at: number, level: number): SnapshotAxis =>
  snapshotAxis(steps, { focus: at, window: atoms.windowSize.value, following: following.value, range: span.value, level });

export const hierarchy = computed<Hierarchy | null>(() => {
  const data = atoms.graph.value.data;
  return data ? buildHierarchy(data) : null;
});

/** The open groups: the user's choice, or a useful depth. */
export const open = computed<ReadonlySet<string>>(() => {
  const tree = hierarchy.value;
  if (!tree) return new Set();
  const chosen = atoms.openGroups.value;
  return chosen ? new Set([...chosen].filter((name) => tree.groups.has(name))) : initialExpansion(tree, INITIAL_BOXES);
});

/** What a program is called: the modules that its optimizer steps. Null for one that the graph does not know. */
export const programLabel = (program: string): string | null => atoms.graph.value.data?.programs[program] ?? null;

/** The programs by name, where there are several: a GAN's generator and discriminator steps, say. */
export const programs = computed<readonly (readonly [name: string, label: string])[]>(() => {
  const all = Object.entries(atoms.graph.value.data?.programs ?? {});
  return all.length > 1 ? all : [];
});

export const leaves = computed<readonly string[]>(() => (hierarchy.value ? visibleLeaves(hierarchy.value, open.value) : []));

export const node = computed<GraphNode | null>(() => hierarchy.value?.nodes.get(atoms.chosenNode.value ?? "") ?? null);

/** Rows of the aggregates by node: the row of the chosen program, or each node's first. */
export const rows = computed<ReadonlyMap<string, number>>(() => {
  const data = atoms.aggregates.value.data;
  const out = new Map<string, number>();
  data?.nodes.forEach((name, row) => {
    if ((atoms.program.value ?? data.programs[row]) === data.programs[row] && !out.has(name)) out.set(name, row);
  });
  return out;
});

/** The program whose row a node shows, where there are several; null without a row. */
export function programOf(name: string): string | null {
  const row = rows.value.get(name);
  return row === undefined || !programs.value.length ? null : atoms.aggregates.value.data?.programs[row] ?? null;
}

/** The mark of a program on nodes and in legends: ①, ② … */
export function programMark(program: string): string {
  const at = programs.value.findIndex(([name]) => name === program);
  return at < 0 ? "" : String.fromCodePoint(0x2460 + Math.min(at, 19));
}

/** Why the chosen node has no lines for what is chosen at the top; null where it has. */
export const layerGap = computed<"quantity" | "program" | null>(() => {
  if (!node.value) return null;
  if (!node.value.quantities.includes(atoms.quantity.value)) return "quantity";
  return atoms.program.value !== null && !node.value.programs.includes(atoms.program.value) ? "program" : null;
});

/** What all recorded nodes' names begin with. */
export const namePrefix = computed(() => sharedPrefix([...(hierarchy.value?.nodes.values() ?? [])].filter((n) => n.kind === "module").map((n) => n.name)));

export interface NodeScore {
  readonly node: string;
  readonly row: number;
  /** Robust z of the jump into the focus; NaN where it cannot be told. */
  readonly score: number;
  /** How many non-finite values its units saw at the focus; where points sum snapshots up, at most how many in the focus's point. */
  readonly nonfinite: number;
  /** Whether the focus is the first snapshot at which it saw some: that is worse than any jump. */
  readonly broke: boolean;
}

/** Every recorded node with its score, the biggest jump first. */
export const ranking = computed<readonly NodeScore[]>(() => {
  const data = atoms.aggregates.value.data;
  if (!data) return [];
  const at = columnOf(data.step, data.focus);
  const width = data.step.length;
  const scores = [...rows.value].map(([name, row]): NodeScore => {
    const nonfinite = (at >= 0 && data.nonfinite[row * width + at]) || 0;
    const before = (at >= 1 && data.nonfinite[row * width + at - 1]) || 0;
    const score = data.score[row] ?? NaN;
    // A point cannot say at which of its snapshots they came; the score, which is of the focus alone, can.
    const broke = nonfinite > 0 && (data.level > 0 ? score === Infinity : before === 0 && at >= 1);
    return { node: name, row, score, nonfinite, broke };
  });
  return scores.sort((a, b) => urgency(b) - urgency(a) || 0);
});

/** What the heat shows and the ranking follows: the score, and beyond all scores the first values that are not finite. */
export const urgency = ({ score, broke }: NodeScore): number => (broke ? Number.MAX_VALUE : Number.isNaN(score) ? -Number.MAX_VALUE : Math.min(score, 1e300));

export const scoreOf = computed<ReadonlyMap<string, NodeScore>>(() => new Map(ranking.value.map((s) => [s.node, s])));

/** What a box says: its own row, or for a closed group its member with the biggest jump. */
export function boxScore(id: string): NodeScore | null {
  if (!isGroup(id)) return scoreOf.value.get(nameOf(id)) ?? null;
  const members = new Set(hierarchy.value?.members.get(nameOf(id)) ?? []);
  const inside = ranking.value.filter((s) => members.has(s.node));
  const top = inside[0];
  return top ? { ...top, nonfinite: inside.reduce((sum, s) => sum + s.nonfinite, 0) } : null;
}

/** Ids of nodes and groups whose name or type contains the text. */
export function find(text: string): string[] {
  const tree = hierarchy.value;
  const wanted = text.trim().toLowerCase();
  if (!tree || !wanted) return [];
  const hit = (name: string, type: string): boolean => `${name} ${type}`.toLowerCase().includes(wanted);
  return [
    ...[...tree.nodes.values()].filter((n) => hit(n.name, n.module_type)).map((n) => nodeId(n.name)),
    ...[...tree.groups.values()].filter((g) => hit(g.name, g.module_type)).map((g) => groupId(g.name)),
  ];
}

/** Seconds since the run's last sign of life, by the server's clock. */
export const age = computed(() => {
  const info = run.value;
  return info ? Math.max(0, atoms.now.value + atoms.clockOffset.value - info.last_wall_time) : NaN;
});
