/** Live: asks `runs?since=` again and again, one question at a time, while the tab is visible. */

import { batch, effect } from "@preact/signals";
import { fetchRuns } from "../api/client";
import type { RunInfo, RunsReply } from "../api/types";
import * as atoms from "./atoms";
import { newestRun } from "./getters";
import { retry, sentence } from "./resource";

/** Milliseconds between heartbeats: with capture and reading a new snapshot is on screen within two to three seconds. */
const PERIOD = 1500;
/** While the server is away, ask less often, so that the console and the network stay quiet. */
const PERIOD_AWAY = 5000;

/** Runs after a heartbeat's reply. */
export function mergeRuns(known: ReadonlyMap<string, RunInfo>, reply: RunsReply): ReadonlyMap<string, RunInfo> {
  if (!reply.runs.length && !reply.gone?.length) return known;
  const next = new Map(known);
  for (const name of reply.gone ?? []) next.delete(name);
  for (const info of reply.runs) next.set(info.name, info);
  return next;
}

export function apply(reply: RunsReply, clock: number): void {
  batch(() => {
    // What failed while the server was away is asked again by itself.
    if (atoms.connectionError.peek() !== null) {
      for (const resource of [atoms.loss, atoms.graph, atoms.aggregates, atoms.layer, atoms.density, atoms.neuron]) {
        if (resource.peek().error !== null) retry<unknown>(resource as never);
      }
    }
    atoms.runs.value = mergeRuns(atoms.runs.peek(), reply);
    atoms.cursor.value = reply.cursor;
    atoms.unread.value = reply.unread;
    // Without this the view would jump from run to run as they write in turn.
    const first = atoms.runs.value.get(atoms.firstRun.peek() ?? "");
    if (!first || first.snapshots === 0) atoms.firstRun.value = newestRun.value?.name ?? null;
    atoms.logdir.value = reply.logdir;
    atoms.clockOffset.value = reply.now - clock;
    atoms.connected.value = true;
    atoms.connectionError.value = null;
  });
}

async function beat(): Promise<number> {
  try {
    apply(await fetchRuns(atoms.cursor.peek()), Date.now() / 1000);
    return PERIOD;
  } catch (error) {
    atoms.connectionError.value = sentence(error);
    // A server that was started anew knows no cursor of the old one.
    atoms.cursor.value = null;
    return PERIOD_AWAY;
  }
}

/** Starts the heartbeat and the clock; the result stops both. */
export function startHeartbeat(): () => void {
  let timer = 0;
  let stopped = false;
  const loop = async (): Promise<void> => {
    const wait = await beat();
    if (!stopped && atoms.visible.peek()) timer = window.setTimeout(() => void loop(), wait);
  };
  const stopWatching = effect(() => {
    window.clearTimeout(timer);
    if (atoms.visible.value) void loop();
  });
  const clock = window.setInterval(() => {
    if (atoms.visible.peek()) atoms.now.value = Date.now() / 1000;
  }, 1000);
  return () => {
    stopped = true;
    stopWatching();
    window.clearTimeout(timer);
    window.clearInterval(clock);
  };
}
