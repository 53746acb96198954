/** The little chart in a node: mean line, min–max band, focus tick, marks where values were not finite. */

import { shareOf, type SnapshotAxis } from "../lib/axis";
import type { Palette } from "../lib/palette";
import { beyond, position, type ValueScale } from "../lib/scale";
import { arrowhead } from "./clipped";

export interface SparkData {
  readonly axis: SnapshotAxis;
  readonly scale: ValueScale;
  readonly mean: Float32Array;
  readonly low: Float32Array;
  readonly high: Float32Array;
  readonly nonfinite: Float32Array;
}

export interface Frame {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
}

export function drawSpark(context: CanvasRenderingContext2D, frame: Frame, data: SparkData, palette: Palette, hot: boolean, hovered: number | null): void {
  const { axis, scale } = data;
  const x = (index: number): number => frame.x + shareOf(axis, index) * frame.width;
  const y = (value: number): number => frame.y + frame.height * (1 - position(scale, value));
  context.save();
  context.beginPath();
  context.rect(frame.x, frame.y - 1, frame.width, frame.height + 2);
  context.clip();
  const first = Math.max(0, Math.floor(axis.from) - 1);
  const last = Math.min(data.mean.length - 1, Math.ceil(axis.to) + 1);
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
  if (axis.focus >= 0) vertical(context, frame, x(axis.focus), palette.focus, 1.25);
  if (hovered !== null && hovered !== axis.focus) vertical(context, frame, x(hovered), palette.faint, 1);
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
  for (let i = first; i <= last; i++) {
    if (beyond(scale, data.high[i]!) > 0) arrowhead(context, x(i), frame.y, 1, 2.5);
    if (beyond(scale, data.low[i]!) < 0) arrowhead(context, x(i), frame.y + frame.height, -1, 2.5);
  }
  context.strokeStyle = palette.bad;
  for (let i = first; i <= last; i++) if (data.nonfinite[i]! > 0) cross(context, x(i), frame.y + 3, 2.2);
  context.restore();
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
