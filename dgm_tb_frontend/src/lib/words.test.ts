import { expect, it } from "vitest";
import { resolution } from "./words";

it("says what a point is, and promises no finer one where there is none", () => {
  expect(resolution({ level: 0, each: 1 }, true)).toBe("every snapshot");
  expect(resolution({ level: 1, each: 16 }, false)).toBe("each point: min and max over 16 snapshots");
  expect(resolution({ level: 3, each: 4096 }, true)).toBe("each point: min and max over 4,096 or more snapshots");
});
