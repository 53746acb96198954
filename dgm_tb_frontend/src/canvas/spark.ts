/** The little chart in a node: mean line, min–max band, focus tick, marks where values were not finite. */

import { onAxis, shareOf, shareOfFocus, shareOfStep, type SnapshotAxis } from "../lib/axis";
import type { Curve, CurveScale } from "../lib/curvescale";
import type { Palette } from "../lib/palette";
import { beyond, position } from "../lib/scale";
import { arrowhead } from "./clipped";

export interface SparkData extends Curve, CurveScale {
  readonly axis: SnapshotAxis;
  readonly nonfinite: Float32Array;
}

export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function drawSpark(context: CanvasRenderingContext2D, frame: Frame, data: SparkData, palette: Palette, hot: boolean, hoveredStep: number | null): void {
  const { axis, scale, cut } = data;
  const x = (index: number): number => frame.x + shareOf(axis, index) * frame.width;
  const y = (value: number): number => frame.y + frame.height * (1 - position(scale, value));
  context.save();
  context.beginPath();
  context.rect(frame.x, frame.y - 1, frame.width, frame.height + 2);
  context.clip();
  const [first, last] = onAxis(axis);
  for (const [a, b] of finiteRuns(data.low, first, last)) {
    context.beginPath();
    for (let i = a; i <= b; i++) context.lineTo(x(i), y(data.high[i]!));
    for (let i = b; i >= a; i--) context.lineTo(x(i), y(data.low[i]!));
    context.closePath();
    context.globalAlpha = hot ? 0.4 : 0.6;
    context.fillStyle = hot ? palette.heat : palette.band;
    context.fill();
    context.globalAlpha = 1;
  }
  context.fillStyle = hot ? palette.heat : palette.edge;
  if (cut.high) cutOff(context, frame, frame.y - 0.5);
  if (cut.low) cutOff(context, frame, frame.y + frame.height - 0.5);
  const place = (share: number): number => frame.x + share * frame.width;
  if (axis.focus >= 0) vertical(context, frame, place(shareOfFocus(axis)), palette.focus, 1.25);
  const at = hoveredStep === null ? NaN : place(shareOfStep(axis, hoveredStep));
  if (Math.abs(at - place(shareOfFocus(axis))) > 0.5) vertical(context, frame, at, palette.faint, 1);
  context.strokeStyle = hot ? palette.heat : palette.line;
  context.lineWidth = 1.5;
  context.lineJoin = "round";
  for (const [a, b] of finiteRuns(data.mean, first, last)) {
    context.beginPath();
    if (a === b) context.arc(x(a), y(data.mean[a]!), 1.2, 0, Math.PI * 2);
    for (let i = a; i <= b; i++) context.lineTo(x(i), y(data.mean[i]!));
    context.stroke();
  }
  context.fillStyle = hot ? palette.heat : palette.line;
  // Where the band lies beyond the axis as a rule, its cut edge says so; only the mean's leaving is an event.
  marks(context, [first, last], x, (i) => beyond(scale, (cut.high ? data.mean : data.high)[i]!) > 0, frame.y, 1);
  marks(context, [first, last], x, (i) => beyond(scale, (cut.low ? data.mean : data.low)[i]!) < 0, frame.y + frame.height, -1);
  context.strokeStyle = palette.bad;
  for (let i = first; i <= last; i++) if (data.nonfinite[i]! > 0) cross(context, x(i), frame.y + 3, 2.2);
  context.restore();
}

/** Arrowheads nearer than this to the last one say nothing new, pixels. */
const APART = 4;

function marks(context: CanvasRenderingContext2D, [first, last]: readonly [number, number], x: (column: number) => number, leaves: (column: number) => boolean, y: number, up: 1 | -1): void {
  let before = -Infinity;
  for (let i = first; i <= last; i++) if (leaves(i) && x(i) - before >= APART) arrowhead(context, (before = x(i)), y, up, 2.5);
}

/** The edge at which a band is cut off: dashes along it. */
function cutOff(context: CanvasRenderingContext2D, frame: Frame, y: number): void {
  for (let x = frame.x + 1; x < frame.x + frame.width; x += 6) context.fillRect(x, y, 3, 1);
}

/** Stretches [first, last] of consecutive finite values. */
export function finiteRuns(values: ArrayLike<number>, first: number, last: number): [number, number][] {
  const out: [number, number][] = [];
  let start = -1;
  for (let i = first; i <= last + 1; i++) {
    const finite = i <= last && Number.isFinite(values[i]!);
    if (finite && start < 0) start = i;
    if (!finite && start >= 0) (out.push([start, i - 1]), (start = -1));
  }
  return out;
}

/** The mark of a value that is not a number or infinite. */
export function cross(context: CanvasRenderingContext2D, x: number, y: number, size: number): void {
  context.lineWidth = 1.5;
  context.beginPath();
  context.moveTo(x - size, y - size);
  context.lineTo(x + size, y + size);
  context.moveTo(x + size, y - size);
  context.lineTo(x - size, y + size);
  context.stroke();
}

function vertical(context: CanvasRenderingContext2D, frame: Frame, x: number, colour: string, width: number): void {
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.beginPath();
  context.moveTo(x, frame.y);
  context.lineTo(x, frame.y + frame.height);
  context.stroke();
}
