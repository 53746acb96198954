import { describe, expect, it } from "vitest";
import { credit } from "./credit";
import type { WireMessage } from "./wire";

const array = (shape: number[], ...values: number[]) => ({ shape, data: Float32Array.from(values) });

const MESSAGE: WireMessage = {
  header: { state: "done", before: 1, after: null, gap: 0.5, converged: false, nodes: 128, noise: 0, discrete: 0, previous: 3, program: "backward#0", step: 7 },
  arrays: new Map([
    ["credit/units/a.b", array([2], 1, -1)], ["credit/maps/a.b", array([2, 1, 1], 1, -1)], ["credit/parameters/a.b.weight", array([1], 4)],
    ["credit/inputs/[0]", array([1, 2], 5, 6)], ["credit/samples", array([2], 7, 8)],
  ]),
};

describe("a credit", () => {
  it("is read by group and name; null stands for what is not finite", () => {
    const reply = credit(MESSAGE);
    expect([...reply.units]).toEqual([["a.b", Float32Array.of(1, -1)]]);
    expect(reply.maps.get("a.b")?.shape).toEqual([2, 1, 1]);
    expect([...reply.parameters.keys(), ...reply.inputs.keys()]).toEqual(["a.b.weight", "[0]"]);
    expect([reply.before, reply.after, reply.previous, reply.converged, reply.nodes]).toEqual([1, NaN, 3, false, 128]);
    expect([...reply.samples]).toEqual([7, 8]);
  });

  it("of the layers after the target has units only", () => {
    const reply = credit({ header: { state: "done", step: 7 }, arrays: new Map([["credit/units/z", array([1], 2)]]) });
    expect([reply.units.size, reply.samples.length, reply.before, reply.previous]).toEqual([1, 0, NaN, null]);
  });
});
