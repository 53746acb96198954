import { beforeEach, expect, it } from "vitest";
import type { RunInfo } from "../api/types";
import { aggregates, chosenRun, connectionError, firstRun, loss, pinned, runs } from "./atoms";
import { apply, mergeRuns } from "./heartbeat";
import { focus, metrics, run, span } from "./getters";
import { brush, clearRange, followLive, moveFocus, pinNearest, toggleWhole } from "./actions";
import { merge } from "./history";

const info = (name: string, more: Partial<RunInfo> = {}): RunInfo =>
  ({ name, state: "live", snapshots: 4, first_step: 0, last_step: 30, generation: 1, started: 0, last_wall_time: 10, losses: 4, graph: "g", reason: null, problems: [], notes: [], thinned: [], ...more });
const history = (steps: number[]) => merge(null, { columns: [], generation: 1, step: new Float64Array(), wallTime: new Float64Array(), values: new Float64Array(),
  logged: new Uint8Array(), snapshots: Float64Array.from(steps), deep: new Float64Array() }, null);

beforeEach(() => {
  runs.value = new Map();
  chosenRun.value = null;
  firstRun.value = null;
  pinned.value = null;
  loss.value = { key: "k", dataKey: "k", data: history([0, 10, 20, 30]), loading: false, error: null };
  followLive();
});

it("updates, adds and drops runs, and keeps the map when nothing changed", () => {
  const first = mergeRuns(new Map(), { cursor: "1", now: 0, logdir: "", unread: 0, runs: [info("a"), info("b")] });
  expect(mergeRuns(first, { cursor: "2", now: 0, logdir: "", unread: 0, runs: [] })).toBe(first);
  const next = mergeRuns(first, { cursor: "3", now: 0, logdir: "", unread: 0, runs: [info("b", { snapshots: 9 }), info("c")], gone: ["a"] });
  expect([...next.keys()].sort()).toEqual(["b", "c"]);
  expect(next.get("b")?.snapshots).toBe(9);
});

it("shows the newest run with snapshots, and keeps to it until another is chosen", () => {
  apply({ cursor: "1", now: 100, logdir: "/l", unread: 0, runs: [info("old"), info("new", { last_wall_time: 20 }), info("bare", { last_wall_time: 30, snapshots: 0 })] }, 90);
  expect(run.value?.name).toBe("new");
  apply({ cursor: "2", now: 101, logdir: "/l", unread: 0, runs: [info("old", { last_wall_time: 99 })] }, 91);
  expect(run.value?.name).toBe("new");
  chosenRun.value = "old";
  expect(run.value?.name).toBe("old");
  chosenRun.value = "deleted";
  expect(run.value).toBeNull();
});

it("asks again for what failed while the server was away", () => {
  const reply = { cursor: "1", now: 100, logdir: "/l", unread: 0, runs: [info("a")] };
  aggregates.value = { key: "k", dataKey: "", data: null, loading: false, error: "a bad parameter" };
  apply(reply, 90);
  expect(aggregates.value.error).toBe("a bad parameter");
  connectionError.value = "away";
  apply(reply, 91);
  expect(aggregates.value).toMatchObject({ key: "", error: null });
});

it("follows the newest snapshot, and stays where it was pinned", () => {
  expect(focus.value).toBe(30);
  pinNearest(14);
  expect(focus.value).toBe(10);
  loss.value = { ...loss.value, data: history([0, 10, 20, 30, 40]) };
  expect(focus.value).toBe(10);
  moveFocus(1);
  expect(focus.value).toBe(20);
  moveFocus(-9);
  expect(focus.value).toBe(0);
  followLive();
  expect(focus.value).toBe(40);
});

it("a brushed range is asked for as a whole, and takes the focus along", () => {
  apply({ cursor: "1", now: 100, logdir: "/l", unread: 0, runs: [info("a")] }, 90);
  expect(span.value).toBeNull();
  brush(-0.5, 21);
  expect(focus.value).toBe(10);
  expect(span.value).toEqual([0, 21]);
  brush(11, 12);
  expect(span.value).toBeNull();
  followLive();
  expect([span.value, focus.value]).toEqual([null, 30]);
});

it("draws the loss and what is called one, but not what the recorder logs of it", () => {
  const columns = ["loss", "kl", "val_loss", "dgm/loss-spike"];
  loss.value = { ...loss.value, data: { ...history([0, 10]), columns } };
  expect([...metrics.value]).toEqual(["loss", "val_loss"]);
});

it("the whole run grows with it, and is left only by choice", () => {
  apply({ cursor: "1", now: 100, logdir: "/l", unread: 0, runs: [info("a")] }, 90);
  toggleWhole();
  expect(span.value).toEqual([0, 30]);
  loss.value = { ...loss.value, data: history([0, 10, 20, 30, 40]) };
  expect(span.value).toEqual([0, 40]);
  pinNearest(11);
  followLive();
  expect([span.value, focus.value]).toEqual([[0, 40], 40]);
  clearRange();
  expect(span.value).toBeNull();
});

it("thinned stretches have no snapshots, but are part of the run", () => {
  loss.value = { ...loss.value, data: history([30, 40]) };
  apply({ cursor: "1", now: 100, logdir: "/l", unread: 0, runs: [info("a", { thinned: [[0, 10], [20, 20]] })] }, 90);
  pinNearest(5);
  expect(focus.value).toBe(30);
  brush(-2, 12);
  expect(span.value).toEqual([0, 12]);
  toggleWhole();
  expect(span.value).toEqual([0, 40]);
});
