/** The only room that calls `fetch`: one function a route, each returning a typed reply or throwing `ApiError`. */

import type { AggregatesReply, DensityReply, GraphReply, LayerReply, LossReply, NeuronReply, Resolution, RunsReply } from "./types";
import { decode, type WireArray, type WireMessage, WireError } from "./wire";

export class ApiError extends Error {
  /** `status` is 0 when no answer came at all. */
  constructor(readonly status: number, message: string) {
    super(message);
  }
}

export type Params = Readonly<Record<string, string | number | null | undefined>>;

/** Relative to the entry page's base (`…/data/plugin/dgm/`), so `--path_prefix` works. */
export function address(route: string, params: Params): string {
  const query = Object.entries(params)
    .filter(([, value]) => value !== null && value !== undefined && value !== "")
    .map(([key, value]) => `${key}=${encodeURIComponent(String(value))}`)
    .join("&");
  return query ? `${route}?${query}` : route;
}

async function request(route: string, params: Params, signal?: AbortSignal): Promise<Response> {
  let response: Response;
  try {
    response = await fetch(address(route, params), { ...(signal ? { signal } : {}), cache: "no-store" });
  } catch (error) {
    if (signal?.aborted) throw error;
    throw new ApiError(0, "TensorBoard does not answer. Is it still running?");
  }
  if (!response.ok) throw new ApiError(response.status, (await response.text()).trim().slice(0, 500) || response.statusText);
  return response;
}

export async function json<T>(route: string, params: Params, signal?: AbortSignal): Promise<T> {
  return (await (await request(route, params, signal)).json()) as T;
}

export async function binary(route: string, params: Params, signal?: AbortSignal): Promise<WireMessage> {
  return decode(await (await request(route, params, signal)).arrayBuffer());
}

/** A route of the worker: JSON while it computes or has failed, the container once it is done. */
export async function either<T>(route: string, params: Params, signal?: AbortSignal): Promise<T | WireMessage> {
  const response = await request(route, params, signal);
  return response.headers.get("content-type")?.startsWith("application/json") ? ((await response.json()) as T) : decode(await response.arrayBuffer());
}

export function take<T extends WireArray>(message: WireMessage, name: string, kind: new (...args: never[]) => T): T {
  const data = message.arrays.get(name)?.data;
  if (!(data instanceof kind)) throw new WireError(`the reply lacks the array ${name}, or it is of another type`);
  return data;
}

const text = (message: WireMessage, key: string): string => String(message.header[key] ?? "");
const number = (message: WireMessage, key: string): number => Number(message.header[key] ?? NaN);
const resolution = (message: WireMessage): Resolution => ({ level: Number(message.header["level"] ?? 0), each: Number(message.header["each"] ?? 1) });
const list = <T>(message: WireMessage, key: string): readonly T[] => (message.header[key] ?? []) as readonly T[];

export const fetchRuns = (since: string | null, signal?: AbortSignal): Promise<RunsReply> => json("runs", { since }, signal);

export async function fetchLoss(params: { run: string; since?: number | null }, signal?: AbortSignal): Promise<LossReply> {
  const m = await binary("loss", params, signal);
  return {
    columns: list<string>(m, "columns"),
    generation: number(m, "generation"),
    step: take(m, "step", Float64Array),
    wallTime: take(m, "wall_time", Float64Array),
    values: take(m, "values", Float64Array),
    logged: take(m, "logged", Uint8Array),
    snapshots: take(m, "snapshots", Float64Array),
    deep: take(m, "deep", Float64Array),
  };
}

export const fetchGraph = (run: string, signal?: AbortSignal): Promise<GraphReply> => json("graph", { run }, signal);

export async function fetchAggregates(params: Params, signal?: AbortSignal): Promise<AggregatesReply> {
  const m = await binary("aggregates", params, signal);
  return {
    ...resolution(m),
    focus: number(m, "focus"),
    nodes: list<string>(m, "nodes"),
    programs: list<string>(m, "programs"),
    generation: number(m, "generation"),
    step: take(m, "step", Float64Array),
    mean: take(m, "mean", Float32Array),
    low: take(m, "low", Float32Array),
    high: take(m, "high", Float32Array),
    nonfinite: take(m, "nonfinite", Float32Array),
    score: take(m, "score", Float32Array),
  };
}

export async function fetchLayer(params: Params, signal?: AbortSignal): Promise<LayerReply> {
  const m = await binary("layer", params, signal);
  return {
    ...resolution(m),
    focus: number(m, "focus"),
    node: text(m, "node"),
    program: text(m, "program"),
    units: number(m, "units"),
    drawn: number(m, "drawn"),
    radius: number(m, "radius"),
    extreme: number(m, "extreme"),
    generation: number(m, "generation"),
    step: take(m, "step", Float64Array),
    unit: take(m, "unit", Uint32Array),
    weight: take(m, "weight", Uint32Array),
    outlier: take(m, "outlier", Uint8Array),
    nonfinite: take(m, "nonfinite", Uint8Array),
    score: take(m, "score", Float32Array),
    values: take(m, "values", Float32Array),
  };
}

export async function fetchDensity(params: Params, signal?: AbortSignal): Promise<DensityReply> {
  const m = await binary("density", params, signal);
  const [height = 0, width = 0] = m.arrays.get("density")?.shape ?? [];
  return {
    ...resolution(m),
    focus: number(m, "focus"),
    low: number(m, "low"),
    high: number(m, "high"),
    scale: text(m, "scale"),
    threshold: number(m, "linear_threshold"),
    width,
    height,
    density: take(m, "density", Float32Array),
  };
}

export async function fetchNeuron(params: Params, signal?: AbortSignal): Promise<NeuronReply> {
  const m = await binary("neuron", params, signal);
  return {
    ...resolution(m),
    node: text(m, "node"),
    program: text(m, "program"),
    quantity: text(m, "quantity"),
    units: list<number>(m, "units"),
    statistics: list<string>(m, "statistics"),
    generation: number(m, "generation"),
    step: take(m, "step", Float64Array),
    values: take(m, "values", Float32Array),
  };
}
