import { describe, expect, it } from "vitest";
import { lossAxis, type LossScale, lossTicks } from "./lossaxis";

const RUNS: Readonly<Record<string, number[]>> = {
  narrow: [1.11, 1.13, 1.12], usual: [2.5, 1, 0.4, 0.2], spike: [...Array.from({ length: 60 }, () => 1), 8686, 4e6], exploded: [...Array.from({ length: 60 }, () => 1), 1e37],
  negative: [-5, -4.2, 3], constant: [2, 2], none: [NaN, Infinity], tiny: [1e-9, 3e-8],
};

describe.each(["linear", "log", "symlog"] as const)("%s", (scale: LossScale) => {
  it.each(Object.keys(RUNS))("has a few labelled ticks inside, whatever the range: %s", (key) => {
    const axis = lossAxis(scale, RUNS[key]!);
    expect(axis.high).toBeGreaterThan(axis.low);
    const ticks = lossTicks(axis, 4);
    expect(ticks.length).toBeGreaterThanOrEqual(2);
    expect(ticks.length).toBeLessThanOrEqual(8);
    for (const tick of ticks) expect(tick >= axis.low - 1e-12 && tick <= axis.high * (1 + 1e-9) + 1e-12).toBe(true);
  });
});

it("a symlog axis ends a hundred thousand times above the usual loss, and marks what lies above", () => {
  expect(lossAxis("symlog", RUNS["exploded"]!).ceiling).toBe(1e5);
  expect(lossAxis("symlog", RUNS["usual"]!).ceiling).toBe(Infinity);
  expect(lossAxis("linear", RUNS["exploded"]!).ceiling).toBe(Infinity);
});
