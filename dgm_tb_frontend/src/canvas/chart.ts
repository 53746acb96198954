/** What the layer's and the units' charts have in common: margins, value axis, snapshot axis, focus line. */

import { formatCount, formatValue } from "../lib/numbers";
import type { Palette } from "../lib/palette";
import { position, ticks, valueAt, type ValueScale } from "../lib/scale";
import type { Frame } from "./spark";

export const FONT = "11px Roboto, 'Segoe UI', system-ui, sans-serif";

export interface Margins {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

export const plotFrame = (width: number, height: number, m: Margins): Frame =>
  ({ x: m.left, y: m.top, width: Math.max(1, width - m.left - m.right), height: Math.max(1, height - m.top - m.bottom) });

export const yOf = (frame: Frame, scale: ValueScale, value: number): number => frame.y + frame.height * (1 - position(scale, value));

export const valueOf = (frame: Frame, scale: ValueScale, y: number): number => valueAt(scale, 1 - (y - frame.y) / frame.height);

export function drawValueAxis(context: CanvasRenderingContext2D, frame: Frame, scale: ValueScale, palette: Palette): void {
  context.font = FONT;
  context.textAlign = "right";
  context.textBaseline = "middle";
  context.lineWidth = 1;
  for (const value of ticks(scale, Math.max(2, Math.round(frame.height / 38)))) {
    const y = Math.round(yOf(frame, scale, value)) + 0.5;
    context.strokeStyle = palette.hairline;
    context.beginPath();
    context.moveTo(frame.x, y);
    context.lineTo(frame.x + frame.width, y);
    context.stroke();
    context.fillStyle = palette.muted;
    context.fillText(formatValue(value), frame.x - 6, y);
  }
}

/** Step labels beneath the chart where they have room; `places` are candidates from left to right. */
export function drawStepAxis(context: CanvasRenderingContext2D, frame: Frame, places: readonly { x: number; step: number }[], palette: Palette,
                             emphasised: { x: number; step: number } | null): void {
  const y = frame.y + frame.height;
  context.font = FONT;
  context.textBaseline = "top";
  context.textAlign = "center";
  context.strokeStyle = palette.border;
  context.lineWidth = 1;
  context.beginPath();
  context.moveTo(frame.x, y + 0.5);
  context.lineTo(frame.x + frame.width, y + 0.5);
  context.stroke();
  const half = (text: string): number => context.measureText(text).width / 2 + 6;
  const taken: [number, number][] = [];
  const place = (x: number, text: string, colour: string, bold: boolean): void => {
    context.font = bold ? `600 ${FONT}` : FONT;
    const room = half(text);
    const at = Math.min(frame.x + frame.width - room + 6, Math.max(frame.x + room - 6, x));
    if (taken.some(([a, b]) => at + room > a && at - room < b)) return;
    taken.push([at - room, at + room]);
    context.fillStyle = colour;
    context.fillText(text, at, y + 6);
  };
  if (emphasised && emphasised.x >= frame.x - 1 && emphasised.x <= frame.x + frame.width + 1) place(emphasised.x, formatCount(emphasised.step), palette.focus, true);
  for (const { x, step } of places) if (x >= frame.x - 1 && x <= frame.x + frame.width + 1) place(x, formatCount(step), palette.muted, false);
}

export function drawVertical(context: CanvasRenderingContext2D, frame: Frame, x: number, colour: string, width: number, dash: readonly number[] = []): void {
  if (x < frame.x - 1 || x > frame.x + frame.width + 1) return;
  context.strokeStyle = colour;
  context.lineWidth = width;
  context.setLineDash([...dash]);
  context.beginPath();
  context.moveTo(x, frame.y);
  context.lineTo(x, frame.y + frame.height);
  context.stroke();
  context.setLineDash([]);
}
