/** The routes of the neuron level: deep snapshots, and what the worker makes of them (asked again while it computes). */

import { binary, either, json, type Params, take } from "./client";
import type { WireMessage } from "./wire";

export type Method = "change" | "value" | "after";
export type Batch = "own" | "same";
/** What of the target's units is explained; `loss` is the program's own. */
export type Of = "activation" | "gradient" | "loss";
export type ChangeKind = "clamp" | "restore-units" | "restore-weights" | "restore-samples";

export interface DeepInput {
  readonly key: string;
  readonly name: string;
  readonly dtype: string;
  readonly shape: readonly number[];
}

export interface DeepContents {
  readonly step: number;
  readonly programs: readonly string[];
  /** Program → its nodes in order of first call. */
  readonly nodes: Readonly<Record<string, readonly string[]>>;
  readonly inputs: readonly DeepInput[];
  readonly weights: readonly string[];
  readonly ops: number;
}

export interface DeepReply {
  readonly generation: number;
  readonly deep: readonly { readonly step: number; readonly size: number }[];
  /** Why there are none, or no later ones. */
  readonly reason: string | null;
  readonly contents: DeepContents | null;
}

/** Still computing: how many nodes of the path were looked at; or waiting, while others’ questions are computed. */
export interface Running {
  readonly state: "running" | "waiting";
  readonly nodes: number;
}

export interface Failed {
  readonly state: "failed";
  readonly message: string;
}

/** An array with its shape. */
export interface Shaped {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface Credit {
  readonly state: "done";
  readonly step: number;
  readonly previous: number | null;
  readonly program: string;
  /** Path nodes that were spent. */
  readonly nodes: number;
  readonly converged: boolean;
  /** NaN where not finite, or not asked. */
  readonly before: number;
  readonly after: number;
  readonly gap: number;
  readonly noise: number;
  readonly discrete: number;
  readonly units: ReadonlyMap<string, Float32Array>;
  /** `[units, height, width]` */
  readonly maps: ReadonlyMap<string, Shaped>;
  readonly parameters: ReadonlyMap<string, Float32Array>;
  readonly buffers: ReadonlyMap<string, Float32Array>;
  /** As large as the input, batch first. */
  readonly inputs: ReadonlyMap<string, Shaped>;
  readonly samples: Float32Array;
}

export interface Outcome {
  readonly state: "done";
  readonly target_before: number | null;
  readonly target_after: number | null;
  readonly loss_before: number | null;
  readonly loss_after: number | null;
  readonly loss_finite_before: boolean;
  readonly loss_finite_after: boolean;
}

export interface Operand {
  readonly made_by: string;
  readonly low: number | null;
  readonly high: number | null;
  readonly nonfinite: number;
}

/** The recorded node whose values drove an operation beyond what a number can hold. */
export interface Driver {
  readonly node: string;
  /** By how many percent the output grows with each percent of the node’s values; null where that cannot be told. */
  readonly elasticity: number | null;
  /** The strongest first, with their shares of it. */
  readonly units: readonly number[];
  readonly shares: readonly number[];
  /** What these units were, least and greatest. */
  readonly low: number | null;
  readonly high: number | null;
}

export interface Origin {
  readonly op: string;
  readonly module: string;
  readonly inputs: readonly Operand[];
  readonly output: Operand;
  /** The line of the user’s code that called it, `file:line`; empty where it is not known. */
  readonly site?: string;
  readonly driver?: Driver | null;
}

export interface OriginDone {
  readonly state: "done";
  readonly step: number;
  readonly origin: Origin | null;
}

export interface SampleReply {
  readonly key: string;
  readonly name: string;
  readonly batch: number;
  readonly position: Uint32Array;
  readonly values: Shaped;
}

export const fetchDeep = (params: { run: string; step?: number }, signal?: AbortSignal): Promise<DeepReply> => json("deep", params, signal);

export async function fetchSample(params: Params, signal?: AbortSignal): Promise<SampleReply> {
  const m = await binary("sample", params, signal);
  return {
    key: String(m.header["key"]), name: String(m.header["name"]), batch: Number(m.header["batch"]),
    position: take(m, "position", Uint32Array), values: { shape: m.arrays.get("values")?.shape ?? [], data: take(m, "values", Float32Array) },
  };
}

/** What tells this tab from others that ask the same server: of each only the newest question is computed. */
const ASKER = Math.random().toString(36).slice(2);

export const fetchReplay = (params: Params, signal?: AbortSignal): Promise<Running | Failed | Outcome> => json("replay", { ...params, asker: ASKER }, signal);

export const fetchOrigin = (params: Params, signal?: AbortSignal): Promise<Running | Failed | OriginDone> => json("origin", { ...params, asker: ASKER }, signal);

export async function fetchCredit(params: Params, signal?: AbortSignal): Promise<Running | Failed | Credit> {
  const reply = await either<Running | Failed>("credit", { ...params, asker: ASKER }, signal);
  return "arrays" in reply ? credit(reply) : reply;
}

/** A number of the header; JSON has no NaN, null stands for it. */
const finite = (message: WireMessage, key: string): number => (typeof message.header[key] === "number" ? (message.header[key] as number) : NaN);

/** The credit that a reply holds. */
export function credit(message: WireMessage): Credit {
  const group = (name: string): Map<string, Shaped> => {
    const prefix = `credit/${name}/`;
    const inside = [...message.arrays].filter(([key]) => key.startsWith(prefix));
    return new Map(inside.map(([key, { shape }]) => [key.slice(prefix.length), { shape, data: take(message, key, Float32Array) }]));
  };
  const flat = (name: string): Map<string, Float32Array> => new Map([...group(name)].map(([key, { data }]) => [key, data]));
  return {
    state: "done", step: finite(message, "step"), previous: (message.header["previous"] ?? null) as number | null, program: String(message.header["program"] ?? ""),
    nodes: finite(message, "nodes"), converged: message.header["converged"] === true,
    before: finite(message, "before"), after: finite(message, "after"), gap: finite(message, "gap"), noise: finite(message, "noise"), discrete: finite(message, "discrete"),
    units: flat("units"), maps: group("maps"), parameters: flat("parameters"), buffers: flat("buffers"), inputs: group("inputs"),
    samples: message.arrays.has("credit/samples") ? take(message, "credit/samples", Float32Array) : new Float32Array(),
  };
}
