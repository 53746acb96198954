import { batch } from "@preact/signals";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import * as atoms from "./atoms";
import { credited, deepList } from "./answers";
import { ANY_CAUSE, cause, change, chooseDeep, explained, from, keepTrail, LONGEST_TRAIL, lost, target, to, trail, walkBack, walkTo, why, whyDriver } from "./cause";
import { failure, startCredit } from "./evidence";
import { emptyResource } from "./resource";

const steps = (...list: number[]): void =>
  void (deepList.value = { ...emptyResource(), data: { generation: 1, reason: null, contents: null, deep: list.map((step) => ({ step, size: 1 })) } });

/** The focus, by a history with that single snapshot. */
const focusOn = (step: number): void => void (atoms.loss.value = { ...emptyResource(), data: {
  generation: 1, columns: [], step: new Float64Array(), wallTime: new Float64Array(), values: [], logged: [], snapshots: Float64Array.of(step), deep: new Float64Array(),
} });

afterEach(() => void vi.unstubAllGlobals());

beforeEach(() => {
  vi.stubGlobal("fetch", () => new Promise(() => undefined));
  cause.value = null;
  trail.value = [];
  atoms.quantity.value = "activation";
  [atoms.chosenNode.value, atoms.chosenUnits.value] = ["head", [3, 1]];
  steps(10, 20, 30);
  focusOn(25);
});

describe("what is explained", () => {
  it("is the change to the deep step at or before the focus, since the one before", () => {
    expect([from.value, to.value]).toEqual([10, 20]);
    focusOn(30);
    expect([from.value, to.value]).toEqual([20, 30]);
    focusOn(5);
    expect([from.value, to.value]).toEqual([null, 10]);
    steps();
    expect([from.value, to.value]).toEqual([null, null]);
  });

  it("is what was chosen, where that is possible", () => {
    change({ from: 10, to: 30 });
    expect([from.value, to.value, lost.value]).toEqual([10, 30, null]);
    change({ from: 30, to: 20 });
    expect([from.value, to.value]).toEqual([10, 20]);
    change({ to: 15 });
    expect([to.value, lost.value]).toEqual([10, 15]);
  });

  it("follows the quantity, where that can be explained", () => {
    atoms.quantity.value = "gradient";
    expect(explained.value).toBe("gradient");
    atoms.quantity.value = "weight";
    expect(explained.value).toBe("activation");
    change({ of: "loss" });
    expect(explained.value).toBe("loss");
  });

  it("is of the chosen units in order, and opens by asking why", () => {
    expect(target.value).toEqual({ node: "head", units: [1, 3] });
    why();
    expect(cause.value).toEqual(ANY_CAUSE);
  });
});

describe("a focus that moves", () => {
  it("is explained, unless a deep step was chosen with it", () => {
    const stop = startCredit();
    change({ from: 10, to: 30 });
    atoms.pinned.value = 25;
    expect([cause.value?.from, cause.value?.to]).toEqual([null, null]);
    chooseDeep(20);
    expect(cause.value?.to).toBe(20);
    stop();
    atoms.pinned.value = null;
  });

  it("of another run has no cause yet", () => {
    const stop = startCredit();
    const both = new Map(["a", "b"].map((name) => [name, { name, snapshots: 1, last_wall_time: 0 } as never]));
    [atoms.runs.value, atoms.chosenRun.value] = [both, "a"];
    why();
    atoms.chosenRun.value = "b";
    expect(cause.value).toBeNull();
    stop();
    [atoms.runs.value, atoms.chosenRun.value] = [new Map(), null];
  });

  it("does not carry along what was asked of a run that goes on", () => {
    atoms.runs.value = new Map([["a", { name: "a", state: "live" } as never]]);
    why();
    expect([cause.value?.from, cause.value?.to]).toEqual([10, 20]);
    steps(10, 20, 30, 40);
    focusOn(45);
    expect([from.value, to.value]).toEqual([10, 20]);
    atoms.runs.value = new Map();
  });

  it("keeps a deep step whose credit has come, though it was deleted since", () => {
    change({ from: 10, to: 20 });
    credited.value = { ...credited.value, data: { step: 20, previous: 10 } as never };
    steps(30);
    expect([from.value, to.value, lost.value]).toEqual([10, 20, null]);
    credited.value = { ...credited.value, data: null };
    expect([to.value, lost.value]).toEqual([30, 20]);
  });
});

describe("a step whose loss is not finite", () => {
  const losses = (...list: number[]): void => void (atoms.loss.value = { ...atoms.loss.value, data: { ...atoms.loss.value.data!, columns: ["loss"], step: Float64Array.from(list.keys(), (k) => 10 * k),
    values: [Float64Array.from(list)], logged: [Uint8Array.from(list, () => 1)], snapshots: Float64Array.of(0, 10, 20, 30), deep: new Float64Array() } });

  it("is the first of the run, unless another is in focus", () => {
    losses(1, 2, 3, 4);
    expect(failure.value).toBeNull();
    losses(1, 2, Infinity, NaN);
    expect(failure.value).toEqual({ step: 20, here: false, deep: true });
    atoms.pinned.value = 30;
    expect(failure.value).toEqual({ step: 30, here: true, deep: true });
    atoms.pinned.value = 10;
    expect(failure.value).toEqual({ step: 20, here: false, deep: true });
    steps(10, 30);
    expect(failure.value?.deep).toBe(false);
    atoms.pinned.value = null;
  });

  it("leads to those who drove it there: with the panel closed it opens, with it open the way there is kept", () => {
    const driver = { node: "enc.var", units: [3, 7], shares: [0.7, 0.3], elasticity: 120, low: 0, high: 170 };
    whyDriver(driver);
    expect([target.value, cause.value, trail.value]).toEqual([{ node: "enc.var", units: [3, 7] }, ANY_CAUSE, []]);
    [atoms.chosenNode.value, atoms.chosenUnits.value] = ["head", [1]];
    whyDriver(driver);
    expect([target.value, trail.value]).toEqual([{ node: "enc.var", units: [3, 7] }, [{ node: "head", units: [1] }]]);
  });
});

describe("the way back along the blame", () => {
  it("grows by each target that is left, and leads back", () => {
    const stop = startCredit();
    walkTo({ node: "conv", units: [7] });
    walkTo({ node: "input", units: [0] });
    expect(trail.value.map(({ node }) => node)).toEqual(["head", "conv"]);
    walkBack(1);
    expect([atoms.chosenNode.value, atoms.chosenUnits.value, trail.value.length]).toEqual(["conv", [7], 1]);
    stop();
  });

  it("is as long as an address can hold, the last stops of it", () => {
    for (let unit = 0; unit < 20; unit++) walkTo({ node: "conv", units: [unit] });
    expect(trail.value.map(({ units }) => units[0])).toEqual(Array.from({ length: LONGEST_TRAIL }, (_, k) => k + 19 - LONGEST_TRAIL));
    walkTo({ node: "conv", units: [19] });
    expect(trail.value).toHaveLength(LONGEST_TRAIL);
  });

  it("that an address says stays, until something else is chosen", () => {
    batch(() => ([atoms.chosenNode.value, atoms.chosenUnits.value] = ["conv", [7]], keepTrail([{ node: "head", units: [1] }])));
    const stop = startCredit();
    expect(trail.value).toHaveLength(1);
    atoms.chosenUnits.value = [8];
    expect(trail.value).toEqual([]);
    stop();
  });

  it("ends where something else is chosen, and goes on from a stop that is", () => {
    const stop = startCredit();
    walkTo({ node: "conv", units: [7] });
    [atoms.chosenNode.value, atoms.chosenUnits.value] = ["head", [1, 3]];
    expect(trail.value).toEqual([]);
    walkTo({ node: "conv", units: [7] });
    atoms.chosenUnits.value = [2];
    expect(trail.value).toEqual([]);
    stop();
  });
});
