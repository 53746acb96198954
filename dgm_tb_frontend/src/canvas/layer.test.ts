import { expect, it } from "vitest";
import { evenStretches, layerScale } from "./layer";
import type { LayerReply } from "../api/types";

it("cuts the snapshots where their distance changes, leaving none out", () => {
  const cut = (steps: number[]): [number, number][] => evenStretches(Float64Array.from(steps));
  expect(cut([0, 1, 2, 4, 8, 10, 12, 14])).toEqual([[0, 2], [2, 3], [3, 4], [4, 7]]);
  expect(cut([5, 10, 15])).toEqual([[0, 2]]);
  expect(cut([7])).toEqual([]);
  expect(cut([])).toEqual([]);
});

it("takes the whole layer's range where the density says it", () => {
  const reply = { values: Float32Array.from([1, 2]) } as LayerReply;
  const density = { level: 0, each: 1, focus: 0, low: -50, high: 90, threshold: 2, scale: "symlog", width: 1, height: 1, density: new Float32Array(1) };
  const scale = layerScale("symlog", reply, density);
  expect(scale.low).toBeLessThan(-50);
  expect(scale.high).toBeGreaterThan(90);
  expect(scale.threshold).toBe(2);
  expect(layerScale("symlog", reply, null).high).toBeLessThan(3);
});
