/** What the loss chart shows beside its lines: ticks of snapshots, thinned stretches hatched, ◆ deep ones, ✕ not finite, ▲ beyond the axis. */

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
  /** First and last step of each stretch whose snapshots were given up. */
  readonly thinned: readonly (readonly [number, number])[];
  readonly deep: readonly number[];
  /** Deep steps that a change is explained between; the later one last. */
  readonly compared: readonly number[];
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
  for (const [first, last] of marks.thinned) hatch(context, frame, ratio, Math.max(frame.x, x(first)), Math.min(frame.x + frame.width, x(last)), palette.faint);
  const { ticks, bars } = tickRuns([...marks.snapshots].map(x).filter(shown), LEAST_GAP * ratio);
  context.fillStyle = palette.muted;
  for (const at of ticks) context.fillRect(Math.round(at - ratio / 2), bottom - 5 * ratio, ratio, 5 * ratio);
  context.globalAlpha = 0.55;
  for (const [from, to] of bars) context.fillRect(from, bottom - 3 * ratio, to - from, 3 * ratio);
  context.globalAlpha = 1;
  for (const step of marks.deep) if (shown(x(step))) drawDiamond(context, x(step), bottom - DIAMOND.up * ratio, ratio, marks.compared.indexOf(step), palette);
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

/** Half a diamond's width, and how far its middle stands above the axis, pixels. */
export const DIAMOND = { half: 4.5, up: 11 } as const;

/** A deep snapshot: filled; of two that are compared the earlier one hollow, both in colour. */
function drawDiamond(context: CanvasRenderingContext2D, x: number, y: number, ratio: number, compared: number, palette: (typeof PALETTES)["light"]): void {
  const size = (DIAMOND.half + (compared >= 0 ? 1 : 0)) * ratio;
  context.beginPath();
  for (const [dx, dy] of [[0, -size], [size, 0], [0, size], [-size, 0]] as const) context.lineTo(x + dx, y + dy);
  context.closePath();
  context.fillStyle = compared === 0 ? palette.surface : compared > 0 ? palette.accent : palette.text;
  context.strokeStyle = compared >= 0 ? palette.accent : palette.surface;
  context.lineWidth = (compared >= 0 ? 1.6 : 1) * ratio;
  context.fill();
  context.stroke();
}

/** Height of a hatched stretch, and between its strokes, pixels. */
const HATCH = { height: 9, gap: 5 };

/** Slanted strokes along the bottom, where the ticks of snapshots would stand; at least one. */
function hatch(context: CanvasRenderingContext2D, frame: Frame, ratio: number, left: number, right: number, colour: string): void {
  if (right < left) return;
  const [height, bottom] = [HATCH.height * ratio, frame.y + frame.height];
  const width = Math.max(right - left, 2 * ratio);
  context.save();
  context.beginPath();
  context.rect(left, bottom - height, width, height);
  context.clip();
  context.strokeStyle = colour;
  context.lineWidth = ratio;
  context.beginPath();
  // Strokes stand at fixed places, so that neighbouring stretches look like one.
  for (let at = Math.floor((left - height) / (HATCH.gap * ratio)) * HATCH.gap * ratio; at < left + width; at += HATCH.gap * ratio) {
    context.moveTo(at, bottom);
    context.lineTo(at + height, bottom - height);
  }
  context.stroke();
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
