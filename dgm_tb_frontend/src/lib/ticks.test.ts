import { describe, expect, it } from "vitest";
import { linearTicks, logarithmicTicks } from "./ticks";

it("linear ticks are round", () => {
  expect(linearTicks(0, 1, 5)).toEqual([0, 0.2, 0.4, 0.6, 0.8, 1]);
  expect(linearTicks(-30, 470, 4)).toEqual([0, 200, 400]);
});

describe("logarithmicTicks", () => {
  const log = (low: number, high: number) => ({ low, high, least: low, place: (v: number) => Math.log(v / low) / Math.log(high / low) });

  it("are powers of ten over many decades, few however many", () => {
    expect(logarithmicTicks(log(0.5, 2e3), 4)).toEqual([1, 10, 100, 1000]);
    const wide = logarithmicTicks(log(1e-8, 1e38), 4);
    expect(wide.length).toBeGreaterThanOrEqual(3);
    expect(wide.length).toBeLessThanOrEqual(6);
  });

  it("are linear where the range is narrower than a decade", () => {
    expect(logarithmicTicks(log(1.02, 1.13), 4)).toEqual(linearTicks(1.02, 1.13, 4));
  });
});
