import { expect, it } from "vitest";
import { densityPixels } from "./density";

it("leaves empty places transparent and orders the others", () => {
  const pixels = densityPixels(Float32Array.from([0, 0.01, 1, 50, NaN]), "light");
  const alpha = [0, 1, 2, 3, 4].map((i) => pixels[i * 4 + 3]!);
  expect([alpha[0], alpha[4]]).toEqual([0, 0]);
  expect(alpha[1]).toBeLessThan(alpha[2]!);
  expect(alpha[2]).toBeLessThan(alpha[3]!);
});

it("draws nothing where there is nothing", () => {
  expect([...densityPixels(new Float32Array(4), "dark")].every((v) => v === 0)).toBe(true);
});
