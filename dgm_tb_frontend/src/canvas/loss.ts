/** What the loss chart shows beside its lines: ticks of snapshots, ◆ deep ones, ✕ not finite, ▲ beyond the axis. */

import { CATEGORIES, PALETTES } from "../lib/palette";
import { arrowhead } from "./clipped";
import { cross, type Frame } from "./spark";

type Theme = "light" | "dark";

/** The loss in the ink of all lines, metrics by category. */
export function lossColour(columns: readonly string[], name: string, theme: Theme): string {
  const colours = [PALETTES[theme].line, ...CATEGORIES[theme]];
  return colours[columns.indexOf(name) % colours.length]!;
}

export interface Curve {
  readonly colour: string;
  readonly step: Float64Array;
  readonly values: Float64Array;
  readonly logged: Uint8Array;
}

export interface LossMarks {
  readonly frame: Frame;
  /** Canvas pixels a CSS pixel. */
  readonly ratio: number;
  readonly x: (step: number) => number;
  readonly snapshots: Float64Array;
  readonly deep: Float64Array;
  readonly curves: readonly Curve[];
  /** Greatest value that the axis shows. */
  readonly ceiling: number;
  readonly theme: Theme;
}

/** Ticks nearer to each other than this are a bar. */
const LEAST_GAP = 4;

export function drawLossMarks(context: CanvasRenderingContext2D, marks: LossMarks): void {
  const { frame, ratio, x } = marks;
  const palette = PALETTES[marks.theme];
  const bottom = frame.y + frame.height;
  const shown = (at: number): boolean => at >= frame.x - 1 && at <= frame.x + frame.width + 1;
  context.save();
  const { ticks, bars } = tickRuns([...marks.snapshots].map(x).filter(shown), LEAST_GAP * ratio);
  context.fillStyle = palette.muted;
  for (const at of ticks) context.fillRect(Math.round(at - ratio / 2), bottom - 5 * ratio, ratio, 5 * ratio);
  context.globalAlpha = 0.55;
  for (const [from, to] of bars) context.fillRect(from, bottom - 3 * ratio, to - from, 3 * ratio);
  context.globalAlpha = 1;
  context.fillStyle = palette.text;
  for (const at of [...marks.deep].map(x).filter(shown)) {
    const size = 4 * ratio;
    context.beginPath();
    for (const [dx, dy] of [[0, -size], [size, 0], [0, size], [-size, 0]] as const) context.lineTo(at + dx, bottom - 10 * ratio + dy);
    context.fill();
  }
  marks.curves.forEach((curve, row) => {
    let [crossed, pointed] = [-Infinity, -Infinity];
    context.strokeStyle = context.fillStyle = curve.colour;
    curve.step.forEach((step, i) => {
      const value = curve.values[i]!;
      if (!curve.logged[i] || (Number.isFinite(value) && value <= marks.ceiling)) return;
      const at = x(step);
      if (!shown(at)) return;
      if (Number.isFinite(value)) {
        if (at - pointed >= 9 * ratio) arrowhead(context, (pointed = at), frame.y, 1, 4 * ratio);
      } else if (at - crossed >= 6 * ratio) cross(context, (crossed = at), frame.y + (7 + 9 * row) * ratio, 3 * ratio);
    });
  });
  context.restore();
}

/** Places that stand apart as ticks, and stretches of places nearer than `gap` to their neighbours; `places` ascend. */
export function tickRuns(places: readonly number[], gap: number): { ticks: number[]; bars: [number, number][] } {
  const ticks: number[] = [];
  const bars: [number, number][] = [];
  for (let from = 0; from < places.length;) {
    let to = from;
    while (to + 1 < places.length && places[to + 1]! - places[to]! < gap) to++;
    // Two or three near each other are still told apart.
    if (to - from < 3) ticks.push(...places.slice(from, to + 1));
    else bars.push([places[from]!, places[to]!]);
    from = to + 1;
  }
  return { ticks, bars };
}
