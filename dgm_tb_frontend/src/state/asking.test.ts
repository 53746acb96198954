import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { signal } from "@preact/signals";
import { again, type Answer, current, forget, pursue, unasked } from "./asking";

interface Done { readonly state: "done"; readonly value: number }
const done = (value: number): Done => ({ state: "done", value });

beforeEach(() => void vi.useFakeTimers());
afterEach(() => void vi.useRealTimers());

const settled = async (milliseconds = 0): Promise<void> => void (await vi.advanceTimersByTimeAsync(milliseconds));

describe("a question to the worker", () => {
  it("is asked again while it runs, and says how far it is", async () => {
    const target = signal<Answer<Done>>(unasked());
    const replies = [{ state: "running", nodes: 3 } as const, { state: "running", nodes: 9 } as const, done(1)];
    pursue(target, "a", false, () => Promise.resolve(replies.shift()!));
    await settled();
    expect(target.value).toMatchObject({ state: "running", nodes: 3 });
    await settled(300);
    expect(target.value.nodes).toBe(9);
    await settled(300);
    expect(target.value).toMatchObject({ state: "done", dataKey: "a" });
    expect(current(target.value)?.value).toBe(1);
  });

  it("waits until another is answered: the worker takes one at a time", async () => {
    const [first, second] = [signal<Answer<Done>>(unasked()), signal<Answer<Done>>(unasked())];
    let finish: (value: Done) => void = () => undefined;
    const asked = vi.fn(() => Promise.resolve(done(2)));
    pursue(first, "a", false, () => new Promise<Done>((resolve) => (finish = resolve)));
    pursue(second, "b", false, asked);
    await settled();
    expect([second.value.state, asked.mock.calls.length]).toEqual(["waiting", 0]);
    finish(done(1));
    await settled();
    expect(current(second.value)?.value).toBe(2);
  });

  it("gives way to a newer one of its own, whose answer stands", async () => {
    const target = signal<Answer<Done>>(unasked());
    let replies = 0;
    pursue(target, "a", false, () => Promise.resolve({ state: "running", nodes: ++replies } as const));
    await settled(900);
    pursue(target, "b", true, () => Promise.resolve(done(7)));
    await settled(900);
    expect(current(target.value)?.value).toBe(7);
    const before = replies;
    await settled(3000);
    expect(replies).toBe(before);
  });

  it("waits in line behind another tab's, and says so", async () => {
    const target = signal<Answer<Done>>(unasked());
    const replies = [{ state: "waiting", nodes: 0 } as const, { state: "running", nodes: 3 } as const, { state: "waiting", nodes: 0 } as const, done(1)];
    const seen: unknown[] = [];
    pursue(target, "a", false, () => Promise.resolve(replies.shift()!));
    for (const milliseconds of [0, 300, 300, 300]) {
      await settled(milliseconds);
      seen.push([target.value.state, target.value.elsewhere, target.value.nodes]);
    }
    expect(seen).toEqual([["waiting", true, 0], ["running", false, 3], ["waiting", true, 0], ["done", false, 0]]);
  });

  it("is told failed with the server's sentence, and can be asked again", async () => {
    const target = signal<Answer<Done>>(unasked());
    pursue(target, "a", false, () => Promise.resolve({ state: "failed", message: "no PyTorch" } as const));
    await settled();
    expect(target.value).toMatchObject({ state: "failed", message: "no PyTorch" });
    const once = vi.fn(() => Promise.resolve(done(1)));
    pursue(target, "a", false, once);
    await settled();
    expect(once).not.toHaveBeenCalled();
    again(target);
    pursue(target, "a", false, once);
    await settled();
    expect(target.value.state).toBe("done");
  });

  it("is told failed where no answer comes, and forgotten leaves nothing", async () => {
    const target = signal<Answer<Done>>(unasked());
    pursue(target, "a", false, () => Promise.reject(new Error("gone")));
    await settled();
    expect(target.value).toMatchObject({ state: "failed", message: "gone" });
    forget(target);
    expect(target.value).toEqual(unasked());
  });
});
