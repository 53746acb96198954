import { expect, it } from "vitest";
import type { NeuronReply } from "../api/types";
import { lengthen, resumeSeries } from "./series";

const reply = (steps: number[], more: Partial<NeuronReply> = {}): NeuronReply => ({
  node: "a", program: "p", quantity: "activation", units: [3, 5], statistics: ["mean", "std"], generation: 1, level: 0, each: 1,
  step: Float64Array.from(steps), values: Float32Array.from([0, 1, 2, 3].flatMap((row) => steps.map((step) => row * 1000 + step))), ...more,
});

it("is lengthened while columns are snapshots, as if it had been asked for at once", () => {
  const held = reply([0, 10, 20]);
  expect(resumeSeries(held)).toBe(20);
  expect(lengthen(held, reply([30, 40]), 20)).toEqual(reply([0, 10, 20, 30, 40]));
  expect(lengthen(held, reply([]), 20)).toBe(held);
});

it("repeats nothing that a reply sends again", () => {
  expect(lengthen(reply([0, 10, 20]), reply([20, 30]), 10)).toEqual(reply([0, 10, 20, 30]));
});

it("is replaced as a whole where points sum snapshots up, and where earlier snapshots changed", () => {
  const points = reply([0, 150, 160, 310], { level: 1, each: 16 });
  expect(lengthen(reply([0, 10]), points, 10)).toBe(points);
  expect(resumeSeries(points)).toBeNull();
  expect(lengthen(points, reply([320]), null)).toEqual(reply([320]));
  const anew = reply([0, 30], { generation: 2 });
  expect(lengthen(reply([0, 10]), anew, 10)).toBe(anew);
});
