/** Draws the full series of a set of units: one statistic over all steps, linear in step. */

import type { NeuronReply } from "../api/types";
import { lastAtOrBefore, nearest } from "../lib/axis";
import type { Palette } from "../lib/palette";
import { beyond, fitScale, seeing, type ScaleName, type ValueScale } from "../lib/scale";
import { linearTicks } from "../lib/ticks";
import { drawStepAxis, drawValueAxis, drawVertical, plotFrame, yOf } from "./chart";
import { Clipped } from "./clipped";
import { stretches, traceEnvelope } from "./envelope";
import { cross, finiteRuns, type Frame } from "./spark";

const MARGINS = { left: 58, right: 12, top: 8, bottom: 22 };

export interface SeriesScene {
  readonly reply: NeuronReply;
  readonly units: readonly number[];
  readonly statistic: string;
  readonly scale: ScaleName;
  readonly range: readonly [number, number] | null;
  readonly focus: number | null;
  readonly hoveredStep: number | null;
  readonly hoveredUnit: number | null;
  readonly palette: Palette;
  readonly colours: readonly string[];
}

export const seriesFrame = (width: number, height: number): Frame => plotFrame(width, height, MARGINS);

function domain(steps: Float64Array, range: readonly [number, number] | null): readonly [number, number] {
  const [first, last] = range ?? [steps[0] ?? 0, steps[steps.length - 1] ?? 1];
  return [first, Math.max(last, first + 1)];
}

/** The recorded step nearest to a place of the chart, any step where points sum steps up; null outside it or without steps. */
export function stepAt({ step: steps, level }: NeuronReply, range: readonly [number, number] | null, frame: Frame, x: number): number | null {
  const [first, last] = domain(steps, range);
  const share = (x - frame.x) / frame.width;
  if (share < -0.02 || share > 1.02) return null;
  if (level > 0) return Math.round(Math.min(last, Math.max(first, first + share * (last - first))));
  const at = nearest(steps, first + share * (last - first));
  return at < 0 ? null : steps[at]!;
}

/** An outline is filled this much fainter than it is stroked. */
const FILL = 0.3;

function traceCurve(context: CanvasRenderingContext2D, frame: Frame, values: Float32Array, runs: readonly [number, number][], x: (column: number) => number, scale: ValueScale): void {
  context.beginPath();
  for (const [a, b] of runs) {
    context.moveTo(x(a), yOf(frame, scale, values[a]!));
    if (a === b) context.lineTo(x(a) + 1.5, yOf(frame, scale, values[a]!));
    for (let i = a + 1; i <= b; i++) context.lineTo(x(i), yOf(frame, scale, values[i]!));
  }
}

export function drawSeries(context: CanvasRenderingContext2D, width: number, height: number, scene: SeriesScene): void {
  const { reply, palette } = scene;
  const frame = seriesFrame(width, height);
  const row = reply.statistics.indexOf(scene.statistic);
  const steps = reply.step;
  const n = steps.length;
  if (row < 0 || !n) return;
  const series = (place: number): Float32Array => reply.values.subarray((place * reply.statistics.length + row) * n, (place * reply.statistics.length + row + 1) * n);
  const [first, last] = domain(steps, scene.range);
  const from = Math.max(0, lastAtOrBefore(steps, first));
  const to = Math.min(n - 1, lastAtOrBefore(steps, last) + 1);
  const places = scene.units.map((unit) => reply.units.indexOf(unit));
  const drawn = (until: number): number[] => places.filter((place) => place >= 0).flatMap((place) => [...series(place).subarray(from, until + 1)]);
  const fitted = fitScale(scene.scale, drawn(to));
  // Growth over the run is what the chart is for; only what explodes beyond any axis gives way to what is at the focus.
  const exploded = drawn(to).some((value) => beyond(fitted, value) !== 0);
  const scale = exploded && scene.focus !== null ? seeing(fitted, drawn(lastAtOrBefore(steps, scene.focus))) : fitted;
  const x = (i: number): number => frame.x + ((steps[i]! - first) / (last - first)) * frame.width;
  const parts = reply.level > 0 ? stretches(from, to, x) : null;
  drawValueAxis(context, frame, scale, palette);
  context.save();
  context.beginPath();
  context.rect(frame.x - 1, frame.y - 3, frame.width + 2, frame.height + 6);
  context.clip();
  const xOfStep = (step: number): number => frame.x + ((step - first) / (last - first)) * frame.width;
  if (scene.focus !== null) drawVertical(context, frame, xOfStep(scene.focus), palette.focus, 1.5);
  if (scene.hoveredStep !== null && scene.hoveredStep !== scene.focus) drawVertical(context, frame, xOfStep(scene.hoveredStep), palette.faint, 1, [3, 3]);
  context.lineJoin = "round";
  const clip = new Clipped();
  places.forEach((place, order) => {
    if (place < 0) return;
    const values = series(place);
    const hovered = scene.units[order] === scene.hoveredUnit;
    context.globalAlpha = scene.units.length > 12 && !hovered ? 0.5 : 1;
    context.strokeStyle = scene.colours[order % scene.colours.length]!;
    context.lineWidth = hovered ? 2.75 : scene.units.length > 12 ? 1 : 1.5;
    if (parts) {
      traceEnvelope(context, values, parts, (value) => yOf(frame, scale, value), 1);
      const strength = context.globalAlpha;
      context.globalAlpha = strength * FILL;
      context.fillStyle = context.strokeStyle;
      context.fill();
      context.globalAlpha = strength;
      context.lineWidth = hovered ? 1.5 : 1;
    } else traceCurve(context, frame, values, finiteRuns(values, from, to), x, scale);
    context.stroke();
    context.strokeStyle = palette.bad;
    for (const [, b] of finiteRuns(values, from, to)) if (b < to) cross(context, x(b + 1), yOf(frame, scale, values[b]!), 3);
    for (let i = from; i <= to; i++) clip.note(x(i), beyond(scale, values[i]!), values[i]!);
  });
  context.restore();
  clip.draw(context, frame, palette);
  const marks = linearTicks(first, last, Math.max(2, Math.round(frame.width / 110))).filter(Number.isInteger);
  drawStepAxis(context, frame, marks.map((step) => ({ x: xOfStep(step), step })), palette,
    scene.focus === null ? null : { x: xOfStep(scene.focus), step: scene.focus });
}
