/** The colours of both themes: one table for the stylesheet (as custom properties) and the canvases. */

export interface Palette {
  readonly page: string;
  readonly surface: string;
  readonly raised: string;
  readonly text: string;
  readonly muted: string;
  readonly faint: string;
  readonly hairline: string;
  readonly border: string;
  readonly accent: string;
  readonly accentSoft: string;
  readonly focus: string;
  readonly heat: string;
  /** The heat of text: darker or lighter, to be legible also on a hot card. */
  readonly heatText: string;
  readonly outlier: string;
  readonly bad: string;
  /** Credit that pushes up, and that pulls down, as text and bars. */
  readonly push: string;
  readonly pull: string;
  readonly line: string;
  readonly band: string;
  readonly edge: string;
  readonly residual: string;
  readonly feedback: string;
  readonly good: string;
  readonly group: string;
}

// Accent, heat, bad, residual and feedback are Okabe–Ito hues, darkened or lightened to a contrast of at least 3:1.
export const PALETTES: { readonly light: Palette; readonly dark: Palette } = {
  light: {
    page: "#f4f5f7", surface: "#ffffff", raised: "#ffffff", text: "#1c2330", muted: "#586274", faint: "#8b94a3",
    hairline: "#e6e9ee", border: "#cfd5de", accent: "#0067a8", accentSoft: "#e3f0f9", focus: "#0067a8", heat: "#d55e00", heatText: "#963f00", outlier: "#6f4bb8",
    bad: "#a8326f", push: "#0067a8", pull: "#b84d00", line: "#33507a", band: "#b9cbe6", edge: "#8d97a8", residual: "#00805d", feedback: "#a8558a",
    good: "#00805d", group: "#f8f9fb",
  },
  dark: {
    page: "#14171c", surface: "#1c2027", raised: "#262b34", text: "#e8ebf0", muted: "#a4adbb", faint: "#7c8696",
    hairline: "#2c323c", border: "#414957", accent: "#62b6ea", accentSoft: "#1d3547", focus: "#62b6ea", heat: "#ff8c42", heatText: "#ffa466", outlier: "#b79cf2",
    bad: "#ef84b8", push: "#62b6ea", pull: "#ff8c42", line: "#a9c4ee", band: "#3a5174", edge: "#78839a", residual: "#2fc29a", feedback: "#d895bd",
    good: "#2fc29a", group: "#20252d",
  },
};

/** For categories, after Okabe–Ito; those that mean something else here (blue the focus, vermillion a jump, violet an outlier) come last or not at all. */
export const CATEGORIES: { readonly light: readonly string[]; readonly dark: readonly string[] } = {
  light: ["#008a64", "#b3568d", "#b57a00", "#3a93c9", "#8a7a00", "#0072b2", "#5b6270"],
  dark: ["#2fc29a", "#d895bd", "#f0b83f", "#8fc8f0", "#f0e442", "#56b4e9", "#b4bcc9"],
};

// The cool half of viridis, from thin to dense.
const RAMPS = {
  light: [[216, 232, 240], [125, 190, 190], [49, 128, 142], [57, 86, 140], [68, 40, 110]],
  dark: [[34, 42, 66], [52, 70, 122], [42, 110, 142], [40, 160, 136], [142, 214, 100]],
} as const;

/** Colour of a density in [0, 1] as [red, green, blue]. */
export function rampColour(theme: "light" | "dark", share: number): readonly [number, number, number] {
  const ramp = RAMPS[theme];
  const at = Math.min(1, Math.max(0, share)) * (ramp.length - 1);
  const k = Math.min(ramp.length - 2, Math.floor(at));
  const [a, b] = [ramp[k]!, ramp[k + 1]!];
  return [0, 1, 2].map((c) => a[c]! + (b[c]! - a[c]!) * (at - k)) as unknown as [number, number, number];
}

/** From this robust z-score on a jump is called extreme (Iglewicz & Hoaglin 1993). */
export const EXTREME = 3.5;

/** How hot a score is, 0 below `EXTREME` to 1 at ten times that, by its logarithm. */
export function heatOf(score: number): number {
  if (Number.isNaN(score) || score < EXTREME) return 0;
  return Math.min(1, 0.3 + 0.7 * Math.log10(score / EXTREME));
}

/** `share` of colour `b` in colour `a`, both `#rrggbb`. */
export function mix(a: string, b: string, share: number): string {
  const part = (colour: string, k: number): number => parseInt(colour.slice(1 + 2 * k, 3 + 2 * k), 16);
  const channel = (k: number): number => Math.round(part(a, k) + (part(b, k) - part(a, k)) * share);
  return `#${[0, 1, 2].map((k) => channel(k).toString(16).padStart(2, "0")).join("")}`;
}

/** The palette as custom properties: `accentSoft` becomes `--accent-soft`. */
export const properties = (palette: Palette): readonly (readonly [string, string])[] =>
  Object.entries(palette).map(([name, value]) => [`--${name.replace(/[A-Z]/g, (c) => `-${c.toLowerCase()}`)}`, value as string] as const);
