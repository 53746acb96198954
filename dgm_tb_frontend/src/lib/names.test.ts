import { expect, it } from "vitest";
import { callOf, ordinal, sharedPrefix } from "./names";

it("tells a further call from its module", () => {
  expect(callOf("discriminator.0#1")).toEqual({ name: "discriminator.0", call: 1 });
  expect(callOf("input[0]")).toEqual({ name: "input[0]", call: 0 });
});

it("counts as people do", () => {
  expect([0, 1, 2, 3, 10, 11, 12, 20, 21, 110].map(ordinal)).toEqual(["1st", "2nd", "3rd", "4th", "11th", "12th", "13th", "21st", "22nd", "111th"]);
});

it("finds the groups around all", () => {
  expect(sharedPrefix(["network.cell.gates", "network.head", "network.cell.new"])).toBe("network.");
  expect(sharedPrefix(["a.b", "a.bc"])).toBe("a.");
  expect(sharedPrefix(["a", "a.b"])).toBe("");
  expect(sharedPrefix(["a.b"])).toBe("");
});
