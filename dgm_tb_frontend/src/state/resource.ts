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

/**
 * Asks `key` unless it is asked or answered already. Old data stay visible until the reply comes when `keep` says that
 * they are still about the same thing; a reply to a question that is no longer asked is dropped.
 */
export function ask<T>(target: Signal<Resource<T>>, key: string, keep: boolean, fetcher: (signal: AbortSignal) => Promise<T>): void {
  const before = target.peek();
  if (before.key === key && (before.loading || before.dataKey === key || before.error !== null)) return;
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
