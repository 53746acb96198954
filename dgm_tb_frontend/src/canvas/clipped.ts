/** Says honestly that values leave a chart: arrowheads at its edge where they do, and how far they go. */

import { formatValue } from "../lib/numbers";
import type { Palette } from "../lib/palette";
import { FONT } from "./chart";
import type { Frame } from "./spark";

/** Arrowheads nearer than this to the last one say nothing new, pixels. */
const APART = 9;

/** Collects what lies beyond a chart's edges while its lines are drawn. */
export class Clipped {
  private readonly above: number[] = [];
  private readonly beneath: number[] = [];
  private highest = -Infinity;
  private lowest = Infinity;

  /** `side` as `beyond` says: 1 above, −1 beneath, 0 inside. */
  note(x: number, side: -1 | 0 | 1, value: number): void {
    if (side > 0) (this.above.push(x), (this.highest = Math.max(this.highest, value)));
    if (side < 0) (this.beneath.push(x), (this.lowest = Math.min(this.lowest, value)));
  }

  draw(context: CanvasRenderingContext2D, frame: Frame, palette: Palette): void {
    context.fillStyle = palette.muted;
    for (const [places, y, up] of [[this.above, frame.y, 1], [this.beneath, frame.y + frame.height, -1]] as const) {
      let last = -Infinity;
      for (const x of [...places].sort((a, b) => a - b)) if (x - last >= APART && x >= frame.x - 1 && x <= frame.x + frame.width + 1) (arrowhead(context, (last = x), y, up, 4));
    }
    this.say(context, frame, palette, `beyond the axis, up to ${formatValue(this.highest)}`, this.above, frame.y + 14);
    this.say(context, frame, palette, `beyond the axis, down to ${formatValue(this.lowest)}`, this.beneath, frame.y + frame.height - 14);
  }

  /** The words stand beside the arrowheads, on the side that has room. */
  private say(context: CanvasRenderingContext2D, frame: Frame, palette: Palette, words: string, places: readonly number[], y: number): void {
    const shown = places.filter((x) => x >= frame.x - 1 && x <= frame.x + frame.width + 1);
    if (!shown.length) return;
    context.font = FONT;
    context.textBaseline = "middle";
    context.textAlign = "left";
    const width = context.measureText(words).width;
    const least = Math.min(...shown);
    const x = Math.max(frame.x + 4, least - frame.x > width + 12 ? least - width - 10 : Math.min(Math.max(...shown) + 10, frame.x + frame.width - width - 4));
    context.lineWidth = 4;
    context.lineJoin = "round";
    context.strokeStyle = palette.surface;
    context.strokeText(words, x, y);
    context.fillText(words, x, y);
  }
}

/** A small triangle whose tip lies `size` beyond the edge's inner side; `up` 1 points up, −1 down. */
export function arrowhead(context: CanvasRenderingContext2D, x: number, y: number, up: 1 | -1, size: number): void {
  context.beginPath();
  context.moveTo(x, y - up * 1);
  context.lineTo(x - size, y + up * size);
  context.lineTo(x + size, y + up * size);
  context.closePath();
  context.fill();
}
