import { describe, expect, it } from "vitest";
import { curveScale } from "./curvescale";
import { position } from "./scale";

const N = 20;
const filled = (value: (i: number) => number): Float32Array => Float32Array.from({ length: N }, (_, i) => value(i));
const NONE = { low: false, high: false };

describe("the axis of a node's chart", () => {
  it("shows the whole band where no unit is far", () => {
    const { scale, cut } = curveScale("symlog", { mean: filled(() => 0), low: filled((i) => -1 - (i % 3) / 2), high: filled(() => 1.5) }, N - 1);
    expect(cut).toEqual(NONE);
    expect([scale.low < -2, scale.high > 1.5]).toEqual([true, true]);
  });

  it("follows a mean that jumps although one far unit makes the band thirty times as wide", () => {
    const curve = { mean: filled((i) => (i === 10 ? -0.3 : -0.03)), low: filled((i) => (i === 10 ? -6 : -3.8)), high: filled((i) => (i === 10 ? 2 : 0.1)) };
    const { scale, cut } = curveScale("symlog", curve, 10);
    expect(cut).toEqual({ low: true, high: false });
    expect(position(scale, -0.03) - position(scale, -0.3)).toBeGreaterThan(0.25);
    expect([position(scale, -0.03), position(scale, -0.3)].every((at) => at > 0 && at < 1)).toBe(true);
  });

  it("is not flattened by what explodes after the focus", () => {
    const mean = filled((i) => (i > 12 ? -8000 * i : i === 12 ? 0.5 : 0));
    const { scale } = curveScale("symlog", { mean, low: mean.map((v) => v - 1), high: mean.map((v) => v + 1) }, 12);
    expect(position(scale, 0.5) - position(scale, 0)).toBeGreaterThan(0.08);
  });

  it("linear shows everything, whatever is far", () => {
    const { scale, cut } = curveScale("linear", { mean: filled(() => 0), low: filled(() => -1000), high: filled(() => 0.1) }, 5);
    expect(cut).toEqual(NONE);
    expect(scale.low).toBeLessThan(-1000);
  });

  it("stands without a focus, without band, and without a finite value", () => {
    const flat = filled(() => 2);
    expect(curveScale("symlog", { mean: flat, low: flat, high: flat }, -1).scale).toMatchObject({ low: expect.closeTo(1.9), high: expect.closeTo(2.1) });
    const nothing = filled(() => NaN);
    expect(curveScale("symlog", { mean: nothing, low: nothing, high: nothing }, 3).cut).toEqual(NONE);
  });
});
