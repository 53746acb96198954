/** Something fetched: its data, which question they answer, and what is under way. Stale replies are dropped here. */

import type { Signal } from "@preact/signals";
import { ApiError } from "../api/client";

export interface Resource<T> {
  /** The question last asked. */
  readonly key: string;
  readonly data: T | null;
  /** The question that `data` answers; differs from `key` while a reply is awaited or after an error. */
  readonly dataKey: string;
  readonly loading: boolean;
  readonly error: string | null;
}

export const emptyResource = <T>(): Resource<T> => ({ key: "", data: null, dataKey: "", loading: false, error: null });

const pending = new WeakMap<object, AbortController>();

/** What is to be done with the data at hand, and with a question under way, while another is asked. */
export interface Manners {
  /** The data are still about the same thing: they stay visible until the reply comes. */
  readonly keep: boolean;
  /** The question under way differs by a few snapshots only: its reply is awaited, else a growing run would never be drawn. */
  readonly patient?: boolean;
}

/**
 * Asks `key` unless it is asked or answered already. A reply to a question that is no longer asked is dropped; where a
 * patient caller's question waits, it asks again once the reply has changed `target`.
 */
export function ask<T>(target: Signal<Resource<T>>, key: string, { keep, patient = false }: Manners, fetcher: (signal: AbortSignal) => Promise<T>): void {
  const before = target.peek();
  if (before.key === key && (before.loading || before.dataKey === key || before.error !== null)) return;
  if (patient && before.loading) return;
  pending.get(target)?.abort();
  const controller = new AbortController();
  pending.set(target, controller);
  target.value = { key, data: keep ? before.data : null, dataKey: keep ? before.dataKey : "", loading: true, error: null };
  fetcher(controller.signal).then(
    (data) => {
      if (target.peek().key !== key) return;
      target.value = { key, data, dataKey: key, loading: false, error: null };
    },
    (error: unknown) => {
      if (controller.signal.aborted || target.peek().key !== key) return;
      target.value = { ...target.peek(), loading: false, error: sentence(error) };
    },
  );
}

/** Forgets a failure, so that the same question is asked again. */
export function retry<T>(target: Signal<Resource<T>>): void {
  target.value = { ...target.peek(), key: "", error: null };
}

/** Drops the data and whatever is under way. */
export function clear<T>(target: Signal<Resource<T>>): void {
  pending.get(target)?.abort();
  if (target.peek().key !== "" || target.peek().data) target.value = emptyResource();
}

export function sentence(error: unknown): string {
  if (error instanceof ApiError) return error.message;
  return error instanceof Error ? `${error.message}` : String(error);
}
