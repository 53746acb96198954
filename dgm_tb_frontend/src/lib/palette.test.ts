import { describe, expect, it } from "vitest";
import { CATEGORIES, EXTREME, heatOf, mix, PALETTES, properties, rampColour } from "./palette";

function luminance(colour: string): number {
  const part = (k: number): number => {
    const c = parseInt(colour.slice(1 + 2 * k, 3 + 2 * k), 16) / 255;
    return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
  };
  return 0.2126 * part(0) + 0.7152 * part(1) + 0.0722 * part(2);
}
const contrast = (a: string, b: string): number => {
  const [low, high] = [luminance(a), luminance(b)].sort((x, y) => x - y) as [number, number];
  return (high + 0.05) / (low + 0.05);
};

// WCAG 2.2: 4.5 for text (1.4.3), 3 for what carries meaning without being text (1.4.11).
describe.each(["light", "dark"] as const)("%s", (theme) => {
  const palette = PALETTES[theme];
  it.each(["text", "muted", "accent"] as const)("%s is legible as text", (name) => {
    for (const ground of [palette.surface, palette.page, palette.group]) expect(contrast(palette[name], ground)).toBeGreaterThanOrEqual(4.5);
  });
  it.each(["heat", "outlier", "bad", "line", "focus", "residual", "feedback", "good"] as const)("%s stands out", (name) => {
    expect(contrast(palette[name], palette.surface)).toBeGreaterThanOrEqual(3);
  });
  it("has categories that stand out", () => {
    for (const colour of CATEGORIES[theme]) expect(contrast(colour, palette.surface), colour).toBeGreaterThanOrEqual(3);
  });
  it("has text that is legible on the hottest card", () => {
    expect(contrast(palette.text, mix(palette.surface, palette.heat, 0.24))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(palette.text, mix(palette.surface, palette.bad, 0.24))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(palette.heatText, mix(palette.surface, palette.heat, 0.24))).toBeGreaterThanOrEqual(4.5);
    expect(contrast(palette.heatText, palette.accentSoft)).toBeGreaterThanOrEqual(4.5);
  });
  it("orders densities by lightness", () => {
    const light = Array.from({ length: 9 }, (_, i) => rampColour(theme, i / 8)).map(([r, g, b]) => 0.21 * r + 0.72 * g + 0.07 * b);
    const sorted = [...light].sort((a, b) => (theme === "light" ? b - a : a - b));
    expect(light).toEqual(sorted);
  });
});

it("heats with the score, from the extreme on", () => {
  expect([heatOf(NaN), heatOf(-3), heatOf(EXTREME - 0.01)]).toEqual([0, 0, 0]);
  expect(heatOf(EXTREME)).toBeCloseTo(0.3);
  expect(heatOf(10 * EXTREME)).toBeCloseTo(1);
  expect(heatOf(Infinity)).toBe(1);
});

it("names custom properties as the stylesheet does", () => {
  expect(properties(PALETTES.light)).toContainEqual(["--accent-soft", PALETTES.light.accentSoft]);
});
