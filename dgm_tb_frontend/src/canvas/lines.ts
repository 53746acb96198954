/** The layer's polylines: drawing, hit-testing, lasso. One snapshot axis, one value axis, `[lines][points]` values. */

import { lastAtOrBefore, onAxis, shareOf, shareOfFocus, shareOfStep, type SnapshotAxis } from "../lib/axis";
import type { ValueScale } from "../lib/scale";
import { yOf } from "./chart";
import { extent, type Stretch, stretches, traceEnvelope } from "./envelope";
import { finiteRuns, type Frame } from "./spark";

export interface Lines {
  /** Size of the whole chart, the frame being what its margins leave. */
  readonly box: { readonly width: number; readonly height: number };
  readonly frame: Frame;
  readonly axis: SnapshotAxis;
  readonly scale: ValueScale;
  readonly count: number;
  readonly points: number;
  readonly values: Float32Array;
  /** Where two columns are a point: the points by pixels. Null where a column is a snapshot. */
  readonly parts: readonly Stretch[] | null;
}

/** How high a line is drawn at least where it is an outline, pixels. */
const THICKNESS = 0.75;

export function partsOf(axis: SnapshotAxis, frame: Frame): readonly Stretch[] | null {
  return axis.bySteps && axis.steps.length ? stretches(...onAxis(axis), (column) => frame.x + shareOf(axis, column) * frame.width) : null;
}

export const xOf = (lines: Lines, index: number): number => lines.frame.x + shareOf(lines.axis, index) * lines.frame.width;

export const xOfFocus = (lines: Lines): number => lines.frame.x + shareOfFocus(lines.axis) * lines.frame.width;

export const xOfStep = (lines: Lines, step: number): number => lines.frame.x + shareOfStep(lines.axis, step) * lines.frame.width;

const rowOf = (lines: Lines, line: number): Float32Array => lines.values.subarray(line * lines.points, (line + 1) * lines.points);

/** Columns that a place of the chart shows: both of a point, or the one of a snapshot. */
export function columnsAt(lines: Lines, column: number): [number, number] {
  return lines.parts ? [column & ~1, column | 1] : [column, column];
}

/** A line's path: a curve to be stroked, or an outline that may be filled too. */
export function tracePath(context: CanvasRenderingContext2D, lines: Lines, line: number): void {
  const row = rowOf(lines, line);
  if (lines.parts) return traceEnvelope(context, row, lines.parts, (value) => yOf(lines.frame, lines.scale, value), THICKNESS);
  const [first, last] = onAxis(lines.axis);
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
  const row = rowOf(lines, line);
  const [first, last] = onAxis(lines.axis);
  return finiteRuns(row, first, last).filter(([, b]) => b < lines.points - 1 && b < last)
    .map(([, b]) => ({ x: xOf(lines, b + 1), y: yOf(lines.frame, lines.scale, row[b]!) }));
}

/** Upper and lower edge of a line at `x`, the same where it is a curve, interpolated between its snapshots; NaN where it has none. */
export function heightsAt(lines: Lines, line: number, x: number): [top: number, bottom: number] {
  const { axis, frame, scale, points, values } = lines;
  const place = axis.from + ((x - frame.x) / frame.width) * (axis.to - axis.from);
  const index = Math.max(0, lastAtOrBefore(axis.places, place));
  const base = line * points;
  if (lines.parts) {
    const [low, high] = extent(values, base + (index & ~1), base + (index | 1));
    return [yOf(frame, scale, high), yOf(frame, scale, low)];
  }
  const next = Math.min(points - 1, index + 1);
  const [a, b] = [values[base + index]!, values[base + next]!];
  const y = yOf(frame, scale, Number.isFinite(a) ? a : NaN);
  if (!Number.isFinite(b)) return [y, y];
  const between = y + (yOf(frame, scale, b) - y) * Math.min(1, Math.max(0, place - axis.places[index]!));
  return [between, between];
}

/** The line nearest to a point within `reach` pixels, of those that are `drawn`; -1 if none is. */
export function nearestLine(lines: Lines, x: number, y: number, reach: number, drawn: (line: number) => boolean): number {
  let best = -1;
  let least = reach;
  for (let line = 0; line < lines.count; line++) {
    const [top, bottom] = heightsAt(lines, line, x);
    const edge = Math.min(Math.abs(top - y), Math.abs(bottom - y));
    // Inside an outline every place is the line's; where several overlap the nearest edge decides.
    const distance = y >= top && y <= bottom ? Math.min(edge, reach / 2) : edge;
    if (distance <= least && drawn(line)) [best, least] = [line, distance];
  }
  return best;
}

/** Probes of a lasso nearer to each other than this would find nothing more that one sees, pixels. */
const PROBE = 2;

/** Lines that pass through a polygon, tested at every snapshot and halfway between them. */
export function linesIn(lines: Lines, polygon: readonly (readonly [number, number])[], drawn: (line: number) => boolean): number[] {
  const xs = polygon.map(([x]) => x);
  const [left, right] = [Math.min(...xs), Math.max(...xs)];
  const [first, last] = onAxis(lines.axis);
  const probes: number[] = [];
  const probe = (x: number): void => void (x >= left && x <= right && !(x - probes[probes.length - 1]! < PROBE) && probes.push(x));
  for (let i = first; i <= last; i++) (probe(xOf(lines, i)), i < last && probe((xOf(lines, i) + xOf(lines, i + 1)) / 2));
  if (!probes.length) probes.push((left + right) / 2);
  const touches = (line: number, x: number): boolean => {
    const [top, bottom] = heightsAt(lines, line, x);
    return [top, (top + bottom) / 2, bottom].some((y) => insidePolygon(x, y, polygon));
  };
  const out: number[] = [];
  for (let line = 0; line < lines.count; line++) if (drawn(line) && probes.some((x) => touches(line, x))) out.push(line);
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
