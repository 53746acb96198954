import { expect, it } from "vitest";
import { snapshotAt } from "./pick";

const snapshots = Float64Array.from([0, 10, 11, 12, 13, 14, 30]);
const step = Float64Array.from({ length: 31 }, (_, i) => i);
const value = step.map((s) => (s === 12 ? 900 : s === 11 ? 1200 : s > 13 ? NaN : 1));
const losses = { step, value, logged: new Uint8Array(31).fill(1) };

it("takes the greatest loss within reach, and the nearest where there is only one or none", () => {
  expect(snapshotAt(snapshots, 13, 2, { ...losses, value: value.map((v) => (Number.isNaN(v) ? 1 : v)) })).toBe(11);
  expect(snapshotAt(snapshots, 12.4, 0.2, losses)).toBe(12);
  expect(snapshotAt(snapshots, 24, 2, losses)).toBe(30);
  expect(snapshotAt(new Float64Array(), 3, 2, losses)).toBeNull();
  expect(snapshotAt(snapshots, 12, 2, null)).toBe(12);
});

it("takes the first of those that are not finite", () => {
  expect(snapshotAt(snapshots, 20, 12, losses)).toBe(14);
});
