import { expect, it } from "vitest";
import { sampled } from "./sampled";

it("samples a long column, and never misses its extremes", () => {
  const column = Float64Array.from({ length: 300_000 }, (_, i) => (i === 123_457 ? 1e9 : i === 7 ? -3 : i === 250_001 ? 1e-9 : i % 3 ? 1 + (i % 100) / 100 : NaN));
  const few = sampled(column, 20_000);
  expect(few.length).toBeLessThan(21_000);
  expect([few.includes(1e9), few.includes(-3), few.includes(1e-9), few.every(Number.isFinite)]).toEqual([true, true, true, true]);
  expect(sampled([5, NaN, 7, Infinity, 9], 20, 1, 3)).toEqual([7]);
  expect(sampled([5, NaN, 7], 3)).toEqual([5, 7]);
  expect(sampled([], 20)).toEqual([]);
});
