import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { deepList } from "./answers";
import * as atoms from "./atoms";
import { proposal, recordedRange } from "./proposal";
import { emptyResource } from "./resource";

/** Two units with least and greatest at steps 10 and 20. */
const series = (quantity: "activation" | "gradient", values: readonly number[]): void => void (atoms.neuron.value = { ...emptyResource(), data: {
  node: "head", program: "backward#0", quantity, units: [3, 7], statistics: ["min", "max"], generation: 1, level: 0, each: 1, step: Float64Array.of(10, 20), values: Float32Array.from(values),
} as never });

beforeEach(() => {
  deepList.value = { ...emptyResource(), data: { generation: 1, reason: null, contents: null, deep: [10, 20].map((step) => ({ step, size: 1 })) } };
  [atoms.chosenNode.value, atoms.chosenUnits.value] = ["head", [3, 7]];
});

afterEach(() => {
  [atoms.neuron.value, deepList.value] = [emptyResource(), emptyResource()];
  [atoms.chosenNode.value, atoms.chosenUnits.value] = [null, []];
});

describe("the proposed test", () => {
  it("keeps the layer within what its units were before", () => {
    series("activation", [-1.234, -50, 0.5, 60, -2, -70, 3.456, 80]);
    expect(recordedRange.value).toEqual([-2, 3.5]);
    expect(proposal.value).toEqual({ change: "clamp", at: "head", of: [], low: -2, high: 3.5, step: 20, previous: 10 });
  });

  it("is within a usual range where that is not known", () => {
    expect(proposal.value).toMatchObject({ low: -6, high: 6 });
    for (const [quantity, values] of [["gradient", [0, 0, 1, 1, 0, 0, 1, 1]], ["activation", [NaN, 0, 1, 1, 0, 0, 1, 1]], ["activation", [1, 1, 1, 1, 1, 1, 1, 1]]] as const) {
      series(quantity, values);
      expect(proposal.value).toMatchObject({ low: -6, high: 6 });
    }
  });

  it("is none without a target or a deep step", () => {
    atoms.chosenNode.value = null;
    expect(proposal.value).toBeNull();
    [atoms.chosenNode.value, deepList.value] = ["head", emptyResource()];
    expect(proposal.value).toBeNull();
  });
});
