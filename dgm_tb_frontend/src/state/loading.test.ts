import { afterEach, beforeEach, expect, it, vi } from "vitest";
import type { RunInfo } from "../api/types";
import * as atoms from "./atoms";
import { brush, chooseNode, followLive, pinNearest, toggleWhole } from "./actions";
import { startLoading } from "./loading";
import { clear } from "./resource";

const SHAPES: Readonly<Record<string, Readonly<Record<string, readonly [string, number]>>>> = {
  aggregates: { step: ["f8", 2], mean: ["f4", 2], low: ["f4", 2], high: ["f4", 2], nonfinite: ["f4", 2], score: ["f4", 1] },
  layer: { step: ["f8", 2], unit: ["u4", 1], weight: ["u4", 1], outlier: ["u1", 1], nonfinite: ["u1", 1], score: ["f4", 1], values: ["f4", 2] },
  density: { step: ["f8", 2], density: ["f4", 1] },
  neuron: { step: ["f8", 2], values: ["f4", 2] },
};

/** A DGM1 reply of zeros with what a route's reader needs. */
function reply(route: string, level: number): Response {
  let offset = 0;
  const arrays = Object.fromEntries(Object.entries(SHAPES[route]!).map(([name, [dtype, size]]) => {
    const entry = { dtype, shape: [size], offset };
    offset += 16;
    return [name, entry];
  }));
  const header = JSON.stringify({ arrays, focus: 30, generation: 1, units: route === "neuron" ? [3] : 4, statistics: ["mean"], level, each: 16 ** level });
  const padded = header.padEnd(Math.ceil(header.length / 8) * 8);
  const bytes = new Uint8Array(8 + padded.length + offset);
  bytes.set(new TextEncoder().encode("DGM1"));
  new DataView(bytes.buffer).setUint32(4, padded.length, true);
  bytes.set(new TextEncoder().encode(padded), 8);
  return new Response(bytes);
}

interface Asked {
  readonly route: string;
  readonly query: URLSearchParams;
  readonly signal: AbortSignal | null;
  readonly answer: (level?: number) => Promise<void>;
}

let asked: Asked[] = [];
let stop = (): void => {};
const of = (route: string): Asked[] => asked.filter((question) => question.route === route);
const info = (snapshots: number): RunInfo => ({ name: "a", state: "live", snapshots, first_step: 0, last_step: (snapshots - 1) * 10, generation: 1, started: 0, last_wall_time: 0,
  losses: 0, graph: "g", reason: null, problems: [], notes: [], thinned: [] });

/** The run has grown to so many snapshots, and the tab knows it. */
function grow(snapshots: number): void {
  atoms.runs.value = new Map([["a", info(snapshots)]]);
  const steps = Float64Array.from({ length: snapshots }, (_, i) => i * 10);
  const data = { generation: 1, columns: [], step: steps, wallTime: steps, values: [], logged: [], snapshots: steps, deep: new Float64Array() };
  const key = JSON.stringify(["a", 1, 0, snapshots, (snapshots - 1) * 10]);
  atoms.loss.value = { key, dataKey: key, data, loading: false, error: null };
}

beforeEach(() => {
  asked = [];
  chooseNode(null);
  [atoms.graph, atoms.aggregates].forEach((resource) => clear<unknown>(resource as never));
  vi.stubGlobal("fetch", (address: string, { signal }: { signal?: AbortSignal }) => new Promise<Response>((resolve) => {
    const [route = "", query] = address.split("?");
    const answer = async (level = 0): Promise<void> => {
      resolve(route === "graph" ? new Response(JSON.stringify({ id: "g", step: 0, edges: [], groups: [], programs: {}, nodes: [{ name: "n", group: "", units: 4, programs: ["p"], quantities: ["activation"], kind: "module" }] })) : reply(route, level));
      for (let turn = 0; turn < 20; turn++) await Promise.resolve();
    };
    asked.push({ route, query: new URLSearchParams(query), signal: signal ?? null, answer });
  }));
  grow(4);
  followLive();
  atoms.range.value = null;
  stop = startLoading();
});
afterEach(() => {
  stop();
  vi.unstubAllGlobals();
});

it("asks for a range by its ends, else for a window around the focus", () => {
  expect(of("aggregates").map(({ query }) => query.toString())).toEqual(["run=a&quantity=activation&statistic=mean&focus=30&window=25"]);
  brush(5, 25);
  expect(Object.fromEntries(of("aggregates").at(-1)!.query)).toMatchObject({ focus: "10", window: "25", first: "5", last: "25" });
});

it("waits for the reply under way while a followed run grows, and drops it when the user looks elsewhere", async () => {
  toggleWhole();
  const [first] = of("aggregates").slice(-1) as [Asked];
  expect(first.query.get("last")).toBe("30");
  const before = asked.length;
  for (const snapshots of [5, 6, 7]) grow(snapshots);
  expect(of("aggregates").filter((question) => asked.indexOf(question) >= before)).toEqual([]);
  await first.answer(1);
  expect(atoms.aggregates.value.data?.level).toBe(1);
  const next = of("aggregates").at(-1)!;
  expect(Object.fromEntries(next.query)).toMatchObject({ focus: "60", first: "0", last: "60" });
  pinNearest(20);
  expect(next.signal?.aborted).toBe(true);
  expect(of("aggregates").at(-1)!.query.get("focus")).toBe("20");
});

it("keeps what is on show when a run is thinned, until all of it has come anew", async () => {
  const grown = of("loss").length;
  atoms.runs.value = new Map([["a", { ...info(4), generation: 2 }]]);
  expect(of("loss").length).toBe(grown + 1);
  expect(of("loss").at(-1)!.query.has("since")).toBe(false);
  expect(atoms.loss.value.data?.snapshots.length).toBe(4);
});

it("asks for the density of just the lines that are on show, however the run has grown meanwhile", async () => {
  await of("graph")[0]!.answer();
  atoms.chosenNode.value = "n";
  const [lines] = of("layer") as [Asked];
  expect(of("density")).toEqual([]);
  grow(5);
  await lines.answer();
  const [density] = of("density") as [Asked];
  expect(Object.fromEntries(density.query)).toMatchObject({ node: "n", focus: "30", window: "25", width: "400" });
  expect(density.query.has("m")).toBe(false);
});

it("asks for what is new of a unit's series at level 0, for all of it where points sum it up", async () => {
  await of("graph")[0]!.answer();
  atoms.chosenNode.value = "n";
  atoms.chosenUnits.value = [3];
  await of("neuron")[0]!.answer(0);
  grow(5);
  expect(of("neuron")[1]!.query.get("since")).toBe("0");
  await of("neuron")[1]!.answer(1);
  grow(6);
  expect(of("neuron")[2]!.query.has("since")).toBe(false);
  brush(5, 25);
  expect(Object.fromEntries(of("neuron").at(-1)!.query)).toMatchObject({ first: "5", last: "25", units: "3" });
});
