import { describe, expect, it } from "vitest";
import { beyond, fitScale, position, seeing, type ScaleName, ticks, valueAt } from "./scale";

const NAMES: readonly ScaleName[] = ["linear", "symlog", "robust"];
const SETS: Readonly<Record<string, number[]>> = {
  crowd: Array.from({ length: 200 }, (_, i) => Math.sin(i)), spike: [...Array.from({ length: 99 }, (_, i) => i / 100), 1e8], negative: [-5, -4, -3e6],
  constant: [2, 2, 2], zeros: [0, 0], one: [-7], large: [1e30, 2e30],
};

describe.each(NAMES)("%s", (name) => {
  it.each(Object.keys(SETS))("is monotone and undone by valueAt: %s", (key) => {
    const scale = fitScale(name, SETS[key]!);
    expect(scale.high).toBeGreaterThan(scale.low);
    let last = -Infinity;
    for (let k = 0; k <= 20; k++) {
      const value = valueAt(scale, k / 20);
      expect(value).toBeGreaterThan(last);
      last = value;
      expect(position(scale, value)).toBeCloseTo(k / 20, 4);
    }
  });

  it.each(Object.keys(SETS))("has ascending ticks inside: %s", (key) => {
    const scale = fitScale(name, SETS[key]!);
    const values = ticks(scale, 6);
    expect(values.length).toBeGreaterThan(0);
    expect(values.length).toBeLessThan(20);
    expect([...values].sort((a, b) => a - b)).toEqual(values);
  });

  it("never places what is not a number, and keeps infinities past the edge", () => {
    const scale = fitScale(name, [0, 1, NaN, Infinity]);
    expect(position(scale, NaN)).toBeNaN();
    expect(position(scale, Infinity)).toBeGreaterThan(1);
    expect(position(scale, -Infinity)).toBeLessThan(0);
  });
});

it("spans [0, 1] when nothing is finite", () => {
  expect(fitScale("symlog", [NaN, Infinity])).toMatchObject({ low: 0, high: 1 });
});

it("symlog keeps both the crowd and the spike apart", () => {
  const scale = fitScale("symlog", SETS["spike"]!);
  expect(position(scale, 0.9) - position(scale, 0.1)).toBeGreaterThan(0.04);
  expect(position(fitScale("linear", SETS["spike"]!), 0.9) - position(fitScale("linear", SETS["spike"]!), 0.1)).toBeLessThan(1e-6);
});

it("robust leaves a lone spike out of the chart", () => {
  const scale = fitScale("robust", [...Array.from({ length: 999 }, (_, i) => i / 999), 1e8]);
  expect(scale.high).toBeLessThan(2);
  expect(position(scale, 1e8)).toBeGreaterThan(1);
});

it("narrows to what was there up to the focus, and only on a symlog axis", () => {
  const values = [...Array.from({ length: 40 }, (_, i) => Math.sin(i)), 5, 800];
  const scale = seeing(fitScale("symlog", values), values.slice(0, 41));
  expect([scale.high, beyond(scale, 800), beyond(scale, 5)]).toEqual([20, 1, 0]);
  expect(position(scale, 5)).toBeGreaterThan(position(fitScale("symlog", values), 5));
  expect(seeing(fitScale("linear", values), [1])).toEqual(fitScale("linear", values));
  expect(seeing(fitScale("symlog", values), [NaN])).toEqual(fitScale("symlog", values));
});

it("symlog leaves the crowd a tenth of the height whatever explodes, and says what is clipped", () => {
  const scale = fitScale("symlog", [...Array.from({ length: 99 }, (_, i) => Math.sin(i)), 1e37, -1e20]);
  expect(position(scale, scale.threshold) - position(scale, -scale.threshold)).toBeGreaterThan(0.09);
  expect([1e37, 1, -1e20, NaN, Infinity].map((value) => beyond(scale, value))).toEqual([1, 0, -1, 0, 0]);
});
