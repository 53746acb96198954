import { describe, expect, it } from "vitest";
import { completenessWords, driverWords, originWords, outcomeWords, percent, signed, targetName, verdict } from "./causewords";

const OUTCOME = { state: "done", target_before: 9, target_after: 6, loss_before: null, loss_after: 12.5, loss_finite_before: false, loss_finite_after: true } as const;
const CLAMP = { change: "clamp", at: "enc.var", of: [], low: -6, high: 6, step: 1303, previous: 1302 } as const;

describe("numbers", () => {
  it("have a sign, and percents few digits", () => {
    expect([signed(0.25), signed(-0.25), signed(0)]).toEqual(["+0.25", "−0.25", "0"]);
    expect([percent(-1, 7), percent(1, 300), percent(1, 1e5), percent(1, 0), percent(NaN, 1)]).toEqual(["−14 %", "0.3 %", "≈ 0 %", "–", "–"]);
  });
});

describe("a target", () => {
  it("is named by its units", () => {
    expect(targetName("a", [])).toBe("all units of a");
    expect(targetName("a", [7])).toBe("unit 7 of a");
    expect(targetName("a", [1, 2, 3, 4])).toBe("4 units (1, 2, 3, …) of a");
  });
});

describe("completeness", () => {
  it("says how much, and that it did not converge", () => {
    expect(completenessWords(0.9997, true, 0.1, 9)).toBe("Parts add up to 99.97 % of it");
    expect(completenessWords(0.9, false, -0.2, 128)).toBe("Parts add up to 90 % of it, not converged: after 128 places on the path 0.2 is still unaccounted for");
  });
});

describe("the origin", () => {
  it("names the operation, the range of what it was given and how much it broke", () => {
    const found = originWords({ op: "pow", module: "", inputs: [{ made_by: "sub", low: -1.1e36, high: 1.1e36, nonfinite: 0 }], output: { made_by: "pow", low: 0, high: 3e38, nonfinite: 7335 } }, 1303);
    expect(found).toBe("First not finite at step 1,303: pow in the model’s own code. Its input was finite (sub between −1.1e36 and 1.1e36), its output has 7,335 values that are not.");
  });

  it("says where in the code, if that is known", () => {
    const found = (module: string) => originWords({ op: "exp", module, site: "vae.py:103", inputs: [{ made_by: "mul", low: 1, high: 1, nonfinite: 0 }], output: { made_by: "exp", low: 0, high: 1, nonfinite: 2 } }, 7);
    expect(found("")).toContain("exp in vae.py:103. Its input was finite (mul 1)");
    expect(found("encoder")).toContain("exp in encoder, vae.py:103.");
  });

  it("tells weights that were broken before from a batch that is", () => {
    const broken = { op: "parameter", module: "enc.weight", inputs: [], output: { made_by: "enc.weight", low: null, high: null, nonfinite: 528 } };
    expect(originWords(broken, 7)).toContain("began with broken weights: 528 values of enc.weight");
    expect(originWords({ ...broken, op: "input" }, 7)).toContain("The batch itself");
    expect(originWords(null, 7)).toContain("is finite");
  });
});

describe("what drove it there", () => {
  const two = { node: "enc.var", units: [306, 360], shares: [0.75, 0.15], elasticity: 122.03, low: -1.76, high: 170.3 };
  it("is told by its units, how far they went and what that does", () => {
    expect(driverWords(two)).toBe("Driven there by units 306 and 360 of enc.var (75 % by unit 306), which are between −1.8 and 170. 1 % more of them is 122 % more of the output.");
    expect(driverWords({ ...two, units: [5], shares: [1], elasticity: 1, low: 70001, high: 70002 })).toBe("Driven there by unit 5 of enc.var at 70000. The output is proportional to it.");
  });

  it("is the nearest layer where no more can be told", () => {
    expect(driverWords({ ...two, units: [], shares: [], elasticity: null, low: null, high: null })).toBe("The recorded layer nearest before it is enc.var.");
  });
});

describe("a test", () => {
  it("says what was done and what became of the loss", () => {
    expect(outcomeWords(CLAMP, OUTCOME)).toBe("With all units of enc.var kept within [−6, 6], the loss of step 1,303 stays finite: 12.5 instead of NaN or infinity. This is a cause.");
    expect(outcomeWords({ ...CLAMP, change: "restore-samples", of: [3, 1] }, { ...OUTCOME, loss_after: null, loss_finite_after: false }))
      .toBe("With samples 3, 1 as in the batch at step 1,302, the loss of step 1,303 is still not finite. This alone is not the cause.");
  });

  it("says that a loss which is finite again is still far above the usual", () => {
    expect(outcomeWords(CLAMP, OUTCOME, 1)).toContain("This is a cause. It is not all of it");
    for (const usual of [2, NaN, undefined]) expect(outcomeWords(CLAMP, OUTCOME, usual)).toMatch(/This is a cause\.$/);
  });

  it.each([[10, 1, "confirmed"], [10, 9, "partly"], [10, 10.1, "refuted"], [10, 99, "worse"], [10, null, "worse"]] as const)("from %s to %s is %s", (before, after, expected) => {
    expect(verdict({ ...OUTCOME, loss_before: before, loss_after: after, loss_finite_before: true, loss_finite_after: after !== null })).toBe(expected);
  });
});
