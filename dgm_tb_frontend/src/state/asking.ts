/** Questions to the worker behind the server: one at a time, asked again while it computes. It drops a tab's when another of that tab comes. */

import type { Signal } from "@preact/signals";
import type { Failed, Running } from "../api/credit";
import { sentence } from "./resource";

/** Milliseconds between two looks at what the worker has. */
const PERIOD = 300;

export interface Answer<T> {
  /** The question last asked. */
  readonly key: string;
  readonly state: "idle" | "waiting" | "running" | "done" | "failed";
  /** Of one that waits, whether it is for others, such as another tab, and not for this tab's own questions. */
  readonly elsewhere: boolean;
  readonly data: T | null;
  /** The question that `data` answers. */
  readonly dataKey: string;
  /** Why it failed, and what to do. */
  readonly message: string;
  /** How much of the path was looked at. */
  readonly nodes: number;
}

export const unasked = <T>(): Answer<T> => ({ key: "", state: "idle", data: null, dataKey: "", message: "", nodes: 0, elsewhere: false });

/** Of an answer, whether it is to the question asked last. */
export const current = <T>(answer: Answer<T>): T | null => (answer.dataKey === answer.key ? answer.data : null);

const pending = new WeakMap<object, AbortController>();
let last: Promise<unknown> = Promise.resolve();

/**
 * Asks `key` unless that was asked already, as soon as what was asked before is answered or given up. What `target` held
 * stays beside it while `keep` is set.
 */
export function pursue<T extends object>(target: Signal<Answer<T>>, key: string, keep: boolean, once: (signal: AbortSignal) => Promise<Running | Failed | T>): void {
  const before = target.peek();
  if (before.key === key && before.state !== "idle") return;
  give(target);
  const controller = new AbortController();
  pending.set(target, controller);
  const { signal } = controller;
  target.value = { ...unasked<T>(), key, state: "waiting", ...(keep ? { data: before.data, dataKey: before.dataKey } : {}) };
  last = last.then(() => (signal.aborted ? undefined : settle(target, key, once, signal)));
}

async function settle<T extends object>(target: Signal<Answer<T>>, key: string, once: (signal: AbortSignal) => Promise<Running | Failed | T>, signal: AbortSignal): Promise<void> {
  const say = (part: Partial<Answer<T>>): void => void (!signal.aborted && target.peek().key === key && (target.value = { ...target.peek(), ...part }));
  say({ state: "running" });
  try {
    for (;;) {
      const reply = await once(signal);
      if (signal.aborted) return;
      const state = (reply as { state?: string }).state;
      if (state === "failed") return say({ state: "failed", message: (reply as Failed).message, elsewhere: false });
      if (state !== "running" && state !== "waiting") return say({ state: "done", data: reply as T, dataKey: key, elsewhere: false });
      say({ state, nodes: (reply as Running).nodes ?? 0, elsewhere: state === "waiting" });
      await pause(PERIOD, signal);
    }
  } catch (error) {
    say({ state: "failed", message: sentence(error) });
  }
}

const pause = (milliseconds: number, signal: AbortSignal): Promise<void> => new Promise((resolve) => {
  const timer = setTimeout(resolve, milliseconds);
  signal.addEventListener("abort", () => (clearTimeout(timer), resolve()), { once: true });
});

/** Gives up whatever is under way; the data stay. */
export function give<T>(target: Signal<Answer<T>>): void {
  pending.get(target)?.abort();
  pending.delete(target);
}

/** Forgets question and data. */
export function forget<T>(target: Signal<Answer<T>>): void {
  give(target);
  if (target.peek().state !== "idle") target.value = unasked<T>();
}

/** Asks the same question again. */
export const again = <T>(target: Signal<Answer<T>>): void => void (give(target), (target.value = { ...target.peek(), key: "", state: "idle" }));
