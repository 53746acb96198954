/** All state of the tab: a page of atoms, each with a sentence. Everything else is derived (`getters.ts`). */

import { signal } from "@preact/signals";
import type { AggregatesReply, DensityReply, GraphReply, LayerReply, NeuronReply, Quantity, RunInfo, Statistic } from "../api/types";
import type { LossScale } from "../lib/lossaxis";
import type { ScaleName } from "../lib/scale";
import type { LossHistory } from "./history";
import { emptyResource, type Resource } from "./resource";

export type { LossScale };
export type Theme = "light" | "dark";
export type Range = readonly [from: number, to: number];

/** The range that grows with the run. */
export const WHOLE: Range = [-Infinity, Infinity];
export const DEFAULT_WINDOW = 25;
export const DEFAULT_LINES = 300;
/** The `neuron` route's limit. */
export const MOST_UNITS = 256;

// What the server said last -------------------------------------------------------------------------------------------

/** Every run by name, as the heartbeat reported it. */
export const runs = signal<ReadonlyMap<string, RunInfo>>(new Map());
/** Runs that the server has found and not read yet. */
export const unread = signal(0);
/** The log directory that TensorBoard serves. */
export const logdir = signal("");
/** Where the heartbeat stands; sent back as `since`. */
export const cursor = signal<string | null>(null);
/** Whether a heartbeat was answered yet. */
export const connected = signal(false);
/** Why the last heartbeat failed; null while the server answers. */
export const connectionError = signal<string | null>(null);
/** Server clock minus browser clock, seconds. */
export const clockOffset = signal(0);
/** Seconds by the browser's clock, ticking once a second while the tab is visible. */
export const now = signal(Date.now() / 1000);

/** Losses, metrics and snapshot steps of the chosen run. */
export const loss = signal<Resource<LossHistory>>(emptyResource());
/** The data-flow graph of the chosen run. */
export const graph = signal<Resource<GraphReply>>(emptyResource());
/** The curve of every node, in the window or over the range. */
export const aggregates = signal<Resource<AggregatesReply>>(emptyResource());
/** The sampled lines of the chosen node. */
export const layer = signal<Resource<LayerReply>>(emptyResource());
/** The density image of all lines of the chosen node. */
export const density = signal<Resource<DensityReply>>(emptyResource());
/** The full series of the chosen units. */
export const neuron = signal<Resource<NeuronReply>>(emptyResource());

// What the user chose -------------------------------------------------------------------------------------------------

/** The chosen run; null shows the first one. */
export const chosenRun = signal<string | null>(null);
/** The run that was newest when the tab opened; it stays on show, however lively others are. */
export const firstRun = signal<string | null>(null);
/** What is recorded of a unit. */
export const quantity = signal<Quantity>("activation");
/** How a quantity is reduced over batch and space. */
export const statistic = signal<Statistic>("mean");
/** The value axis of the network's and the layer's charts, and what decides which lines are alike. */
export const scale = signal<ScaleName>("symlog");
/** Whether the nodes' charts share one value axis. */
export const sharedAxis = signal(false);
/** The program whose rows are shown; null takes each node's first. */
export const program = signal<string | null>(null);
/** The pinned focus step; null follows the newest snapshot. */
export const pinned = signal<number | null>(null);
/** A brushed range of steps, or the whole run; null shows the window around the focus. */
export const range = signal<Range | null>(null);
/** Snapshots on each side of the focus. */
export const windowSize = signal(DEFAULT_WINDOW);
/** Open groups by name; null opens to a useful depth. */
export const openGroups = signal<ReadonlySet<string> | null>(null);
/** The node whose layer is shown; null shows none. */
export const chosenNode = signal<string | null>(null);
/** Chosen units of the chosen node, in the order they were chosen. */
export const chosenUnits = signal<readonly number[]>([]);
/** How many lines the layer may draw. */
export const lineBudget = signal(DEFAULT_LINES);
/** The statistic of the units' full series. */
export const seriesStatistic = signal<Statistic>("mean");
/** Metrics drawn in the loss chart; null draws the loss and what is called a loss. */
export const shownMetrics = signal<ReadonlySet<string> | null>(null);
/** The value axis of the loss chart; null lets the data decide. */
export const lossScale = signal<LossScale | null>(null);

// What the pointer is at ----------------------------------------------------------------------------------------------

/** The step under the pointer, shared by all charts. */
export const hoveredStep = signal<number | null>(null);
/** The node under the pointer. */
export const hoveredNode = signal<string | null>(null);
/** The unit under the pointer. */
export const hoveredUnit = signal<number | null>(null);
/** A node to be brought into the viewport, with a count so that the same one can be asked for again. */
export const revealed = signal<{ readonly node: string; readonly times: number } | null>(null);

/** Whether the network should bring its biggest jump into view once the scores for a new focus are here. */
export const seekingJump = signal(false);

// What the page is like -----------------------------------------------------------------------------------------------

/** TensorBoard's own theme. */
export const theme = signal<Theme>("light");
/** Whether the tab is on screen; a hidden one asks for nothing. */
export const visible = signal(true);
/** Whether the list of shortcuts is open. */
export const helpOpen = signal(false);
