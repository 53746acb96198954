import { signal } from "@preact/signals";
import { describe, expect, it } from "vitest";
import { ask, clear, emptyResource, type Resource, retry } from "./resource";

const settle = (): Promise<void> => new Promise((resolve) => setTimeout(resolve));
const deferred = () => {
  let resolve!: (value: string) => void;
  let reject!: (error: Error) => void;
  const promise = new Promise<string>((a, b) => ([resolve, reject] = [a, b]));
  return { promise, resolve, reject };
};

describe("ask", () => {
  it("drops the reply to a question that is no longer asked", async () => {
    const target = signal<Resource<string>>(emptyResource());
    const [old, fresh] = [deferred(), deferred()];
    ask(target, "old", { keep: false }, () => old.promise);
    ask(target, "new", { keep: false }, () => fresh.promise);
    fresh.resolve("new data");
    await settle();
    old.resolve("old data");
    await settle();
    expect(target.value).toMatchObject({ key: "new", dataKey: "new", data: "new data", loading: false });
  });

  it("aborts it, too, and asks nothing twice", () => {
    const target = signal<Resource<string>>(emptyResource());
    const signals: AbortSignal[] = [];
    const never = (s: AbortSignal): Promise<string> => (signals.push(s), new Promise(() => {}));
    ask(target, "a", { keep: false }, never);
    ask(target, "a", { keep: false }, never);
    ask(target, "b", { keep: false }, never);
    expect(signals.map((s) => s.aborted)).toEqual([true, false]);
  });

  it("keeps what is still worth showing while it waits and when it fails", async () => {
    const target = signal<Resource<string>>(emptyResource());
    ask(target, "a", { keep: false }, () => Promise.resolve("data"));
    await settle();
    const next = deferred();
    ask(target, "b", { keep: true }, () => next.promise);
    expect(target.value).toMatchObject({ data: "data", dataKey: "a", loading: true });
    next.reject(new Error("no"));
    await settle();
    expect(target.value).toMatchObject({ data: "data", dataKey: "a", loading: false, error: "no" });
    ask(target, "c", { keep: false }, () => new Promise(() => {}));
    expect(target.value.data).toBeNull();
  });

  it("asks again after a failure only when told to", async () => {
    const target = signal<Resource<string>>(emptyResource());
    let calls = 0;
    const fail = (): Promise<string> => (calls++, Promise.reject(new Error("no")));
    ask(target, "a", { keep: false }, fail);
    await settle();
    ask(target, "a", { keep: false }, fail);
    expect(calls).toBe(1);
    retry(target);
    ask(target, "a", { keep: false }, fail);
    expect(calls).toBe(2);
  });

  it("forgets everything when cleared, late replies included", async () => {
    const target = signal<Resource<string>>(emptyResource());
    const late = deferred();
    ask(target, "a", { keep: false }, () => late.promise);
    clear(target);
    late.resolve("late");
    await settle();
    expect(target.value).toEqual(emptyResource());
  });
});
