import { expect, it } from "vitest";
import { diverging } from "./diverging";

it.each(["light", "dark"] as const)("goes from orange to blue through the ground in %s, and no farther", (theme) => {
  const [orange, ground, blue] = [diverging(theme, -1), diverging(theme, 0), diverging(theme, 1)];
  expect(orange[0]).toBeGreaterThan(orange[2]);
  expect(blue[2]).toBeGreaterThan(blue[0]);
  expect(Math.max(...ground) - Math.min(...ground)).toBeLessThan(20);
  expect(diverging(theme, 9)).toEqual(blue);
  expect(diverging(theme, 0.5)).not.toEqual(blue);
});
