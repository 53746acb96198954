import { describe, expect, it } from "vitest";
import type { LossReply } from "../api/types";
import { type LossHistory, merge, resumeStep } from "./history";

interface World { columns: string[]; rows: Map<number, (number | null)[]>; snapshots: number[] }

/** What the server would answer to `since`. */
function answer(world: World, since: number | null, generation = 1): LossReply {
  const steps = [...world.rows.keys()].filter((step) => since === null || step > since).sort((a, b) => a - b);
  const cells = world.columns.flatMap((_, c) => steps.map((step) => world.rows.get(step)![c] ?? null));
  return {
    columns: world.columns, generation, step: Float64Array.from(steps), wallTime: Float64Array.from(steps, (s) => s + 0.5),
    values: Float64Array.from(cells, (v) => v ?? NaN), logged: Uint8Array.from(cells, (v) => (v === null ? 0 : 1)),
    snapshots: Float64Array.from(world.snapshots.filter((s) => since === null || s > since)), deep: new Float64Array(),
  };
}

describe("merge", () => {
  it("ends at the same history as one reply for all, in whatever order losses and snapshots are written", () => {
    let seed = 7;
    const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
    for (let round = 0; round < 30; round++) {
      const world: World = { columns: ["loss"], rows: new Map(), snapshots: [] };
      let held: LossHistory | null = null;
      let [lossStep, snapshotStep] = [0, 0];
      for (let poll = 0; poll < 12; poll++) {
        for (let k = Math.floor(random() * 6); k > 0; k--) world.rows.set(lossStep++, [random() < 0.2 ? NaN : random(), ...(world.columns.length > 1 ? [random() < 0.5 ? null : 1] : [])]);
        for (let k = Math.floor(random() * 3); k > 0; k--) (world.snapshots.push(snapshotStep), (snapshotStep += 2));
        if (poll === 6) world.columns.push("kl");
        const since = resumeStep(held);
        held = merge(held, answer(world, since), since);
      }
      const whole = merge(null, answer(world, null), null);
      expect(held).toEqual(whole);
    }
  });

  it("starts afresh when the generation changed", () => {
    const old = merge(null, answer({ columns: ["loss", "lr"], rows: new Map([[1, [1, 1]], [2, [1, 1]]]), snapshots: [1] }, null), null);
    const fresh = merge(old, answer({ columns: ["loss"], rows: new Map([[9, [3]]]), snapshots: [9] }, 1, 2), 1);
    expect([[...fresh.step], fresh.columns, [...fresh.snapshots]]).toEqual([[9], ["loss"], [9]]);
  });
});
