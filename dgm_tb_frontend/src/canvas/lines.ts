/** The layer's polylines: drawing, hit-testing, lasso. One snapshot axis, one value axis, `[lines][points]` values. */

import { shareOf, type SnapshotAxis } from "../lib/axis";
import type { ValueScale } from "../lib/scale";
import { yOf } from "./chart";
import { finiteRuns, type Frame } from "./spark";

export interface Lines {
  readonly frame: Frame;
  readonly axis: SnapshotAxis;
  readonly scale: ValueScale;
  readonly count: number;
  readonly points: number;
  readonly values: Float32Array;
}

export const xOf = (lines: Lines, index: number): number => lines.frame.x + shareOf(lines.axis, index) * lines.frame.width;

/** Points of the axis that are on screen, with one more on each side. */
function shown(lines: Lines): [number, number] {
  return [Math.max(0, Math.floor(lines.axis.from) - 1), Math.min(lines.points - 1, Math.ceil(lines.axis.to) + 1)];
}

export function tracePath(context: CanvasRenderingContext2D, lines: Lines, line: number): void {
  const row = lines.values.subarray(line * lines.points, (line + 1) * lines.points);
  const [first, last] = shown(lines);
  context.beginPath();
  for (const [a, b] of finiteRuns(row, first, last)) {
    context.moveTo(xOf(lines, a), yOf(lines.frame, lines.scale, row[a]!));
    // A single value between two gaps is a dot as wide as a line, else it would vanish.
    if (a === b) context.lineTo(xOf(lines, a) + 1.5, yOf(lines.frame, lines.scale, row[a]!));
    for (let i = a + 1; i <= b; i++) context.lineTo(xOf(lines, i), yOf(lines.frame, lines.scale, row[i]!));
  }
}

/** Places where a line's values stop being finite, at their last finite height: there the ✕ stands. */
export function breaks(lines: Lines, line: number): { x: number; y: number }[] {
  const row = lines.values.subarray(line * lines.points, (line + 1) * lines.points);
  const [first, last] = shown(lines);
  return finiteRuns(row, first, last).filter(([, b]) => b < lines.points - 1 && b < last)
    .map(([, b]) => ({ x: xOf(lines, b + 1), y: yOf(lines.frame, lines.scale, row[b]!) }));
}

/** Height of a line at `x`, interpolated between its snapshots; NaN where it has none. */
export function heightAt(lines: Lines, line: number, x: number): number {
  const at = lines.axis.from + ((x - lines.frame.x) / lines.frame.width) * (lines.axis.to - lines.axis.from);
  const index = Math.min(lines.points - 1, Math.max(0, Math.floor(at)));
  const next = Math.min(lines.points - 1, index + 1);
  const base = line * lines.points;
  const [a, b] = [lines.values[base + index]!, lines.values[base + next]!];
  const y = yOf(lines.frame, lines.scale, Number.isFinite(a) ? a : NaN);
  if (!Number.isFinite(b)) return y;
  return y + (yOf(lines.frame, lines.scale, b) - y) * Math.min(1, Math.max(0, at - index));
}

/** The line nearest to a point within `reach` pixels, of those that are `drawn`; -1 if none is. */
export function nearestLine(lines: Lines, x: number, y: number, reach: number, drawn: (line: number) => boolean): number {
  let best = -1;
  let least = reach;
  for (let line = 0; line < lines.count; line++) {
    const distance = Math.abs(heightAt(lines, line, x) - y);
    if (distance <= least && drawn(line)) [best, least] = [line, distance];
  }
  return best;
}

/** Lines that pass through a polygon, tested at every snapshot and halfway between them. */
export function linesIn(lines: Lines, polygon: readonly (readonly [number, number])[], drawn: (line: number) => boolean): number[] {
  const xs = polygon.map(([x]) => x);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [first, last] = shown(lines);
  const probes: number[] = [];
  for (let i = first; i <= last; i++) for (const x of [xOf(lines, i), (xOf(lines, i) + xOf(lines, i + 1)) / 2]) if (x >= left && x <= right) probes.push(x);
  if (!probes.length) probes.push((left + right) / 2);
  const out: number[] = [];
  for (let line = 0; line < lines.count; line++) {
    if (drawn(line) && probes.some((x) => insidePolygon(x, heightAt(lines, line, x), polygon))) out.push(line);
  }
  return out;
}

export function insidePolygon(x: number, y: number, polygon: readonly (readonly [number, number])[]): boolean {
  let inside = false;
  for (let i = 0, j = polygon.length - 1; i < polygon.length; j = i++) {
    const [[ax, ay], [bx, by]] = [polygon[i]!, polygon[j]!];
    if (ay > y !== by > y && x < ((bx - ax) * (y - ay)) / (by - ay) + ax) inside = !inside;
  }
  return inside;
}
