/** Draws a layer: density of all lines beneath, the sampled lines by weight, outliers and jumps solid, the chosen units on top. */

import type { DensityReply, LayerReply } from "../api/types";
import { columnOf, shareOf, type SnapshotAxis } from "../lib/axis";
import { mix, type Palette } from "../lib/palette";
import { beyond, fitScale, padded, type ScaleName, unclipped, type ValueScale, withinReach } from "../lib/scale";
import { drawStepAxis, drawValueAxis, drawVertical, FONT, plotFrame, yOf } from "./chart";
import { Clipped } from "./clipped";
import { linearTicks } from "../lib/ticks";
import { breaks, columnsAt, type Lines, partsOf, tracePath, xOf, xOfFocus, xOfStep } from "./lines";
import { cross } from "./spark";

const MARGINS = { left: 58, right: 12, top: 10, bottom: 24 };

export interface LayerScene {
  readonly reply: LayerReply;
  readonly density: { readonly reply: DensityReply; readonly image: HTMLCanvasElement } | null;
  readonly lines: Lines;
  readonly palette: Palette;
  readonly colours: readonly string[];
  /** Lines drawn: a prefix of the reply's order. */
  readonly prefix: number;
  readonly chosen: readonly number[];
}

/** Whether a unit's jump into the focus is extreme among the layer's. */
export const jumped = (reply: LayerReply, line: number): boolean => reply.score[line]! >= reply.extreme;

const marked = (reply: LayerReply, line: number): boolean => reply.outlier[line] !== 0 || jumped(reply, line);

/** The value scale of the whole layer where its density is known, else of the lines that came. */
export function layerScale(name: ScaleName, reply: LayerReply, density: DensityReply | null): ValueScale {
  if (!density || !(density.high > density.low)) return fitScale(name, reply.values);
  return padded(withinReach({ name, low: density.low, high: density.high, threshold: density.threshold > 0 ? density.threshold : 1 }));
}

export function layerLines(reply: LayerReply, axis: SnapshotAxis, scale: ValueScale, width: number, height: number): Lines {
  const frame = plotFrame(width, height, MARGINS);
  return { box: { width, height }, frame, axis, scale, count: reply.drawn, points: reply.step.length, values: reply.values, parts: partsOf(axis, frame) };
}

/** Points between two yields: a millisecond or two. */
const BATCH = 1500;
/** An outline is filled this much fainter than it is stroked, so that crossing ones can be told apart. */
const FILL = 0.35;

/** Draws a line, or a point's outline filled. */
function strokeLine(context: CanvasRenderingContext2D, lines: Lines, line: number): void {
  tracePath(context, lines, line);
  if (lines.parts) {
    const strength = context.globalAlpha;
    context.globalAlpha = strength * FILL;
    context.fillStyle = context.strokeStyle;
    context.fill();
    context.globalAlpha = strength;
  }
  context.stroke();
}

/** Draws the layer, yielding now and then: the order of what is drawn is the same however it is sliced. */
export function* drawLayer(context: CanvasRenderingContext2D, scene: LayerScene, hairline: number): Generator<void, void> {
  const { lines, palette, reply } = scene;
  const { frame } = lines;
  drawUnrecorded(context, lines, palette);
  drawValueAxis(context, frame, lines.scale, palette);
  context.save();
  context.beginPath();
  context.rect(frame.x, frame.y - 3, frame.width, frame.height + 6);
  context.clip();
  const drawn = Array.from({ length: Math.min(scene.prefix, reply.drawn) }, (_, line) => line);
  // Where every unit has its own line a density would only blur them.
  if (scene.density && drawn.length < reply.units) drawDensity(context, scene.density.reply, scene.density.image, lines);
  const chosen = new Set(scene.chosen);
  const most = reply.weight.subarray(0, scene.prefix).reduce((a, b) => Math.max(a, b), 1);
  const plain = drawn.filter((line) => !marked(reply, line) && !chosen.has(reply.unit[line]!));
  const conspicuous = drawn.filter((line) => marked(reply, line) && !chosen.has(reply.unit[line]!));
  // The more lines, the fainter each: sixty at full strength are as much ink as a chart of this size takes.
  const strength = Math.min(0.7, Math.max(0.09, 60 / scene.prefix));
  // Round corners of thousands of points would cost much and not be seen.
  context.lineJoin = lines.points > 500 ? "bevel" : "round";
  const batch = Math.max(1, Math.round(BATCH / Math.max(50, lines.parts?.length ?? lines.points)));
  for (const [order, line] of plain.entries()) {
    const share = Math.sqrt(reply.weight[line]! / most);
    context.globalAlpha = strength * (0.4 + 0.6 * share);
    context.lineWidth = Math.max(hairline, 0.5 + 1.1 * share);
    context.strokeStyle = palette.line;
    strokeLine(context, lines, line);
    if (order % batch === batch - 1) yield;
  }
  const few = conspicuous.length <= 40;
  for (const [order, line] of conspicuous.entries()) {
    context.lineWidth = few ? 1.5 : 1;
    context.strokeStyle = jumped(reply, line) ? palette.heat : palette.outlier;
    context.globalAlpha = (chosen.size ? 0.5 : 0.95) * Math.min(1, Math.max(0.25, 40 / conspicuous.length));
    strokeLine(context, lines, line);
    if (order % batch === batch - 1) yield;
  }
  context.globalAlpha = 1;
  drawVertical(context, { ...frame, y: frame.y - 3, height: frame.height + 6 }, xOfFocus(lines), palette.focus, 1.5);
  scene.chosen.forEach((unit, order) => {
    const line = reply.unit.indexOf(unit);
    if (line < 0) return;
    context.strokeStyle = scene.colours[order % scene.colours.length]!;
    context.lineWidth = lines.parts ? 1.5 : 2.25;
    strokeLine(context, lines, line);
  });
  yield;
  for (const line of drawn) {
    if (!reply.nonfinite[line]) continue;
    context.strokeStyle = palette.bad;
    for (const { x, y } of breaks(lines, line).slice(0, 4)) cross(context, x, y, 3);
  }
  context.restore();
  yield;
  yield* drawClipped(context, lines, drawn, palette);
  drawSteps(context, lines, palette);
}

function* drawClipped(context: CanvasRenderingContext2D, lines: Lines, drawn: readonly number[], palette: Palette): Generator<void, void> {
  const clipped = new Clipped();
  const { scale, points, values } = lines;
  const [least, most] = [new Float32Array(points).fill(Infinity), new Float32Array(points).fill(-Infinity)];
  for (const [order, line] of drawn.entries()) {
    for (let index = 0, at = line * points; index < points; index++, at++) {
      const value = values[at]!;
      if (value < least[index]! && value > -Infinity) least[index] = value;
      if (value > most[index]! && value < Infinity) most[index] = value;
    }
    if (order % 200 === 199) yield;
  }
  for (let index = 0; index < points; index++) for (const value of [least[index]!, most[index]!]) clipped.note(xOf(lines, index), beyond(scale, value), value);
  clipped.draw(context, lines.frame, palette);
}

/** What the pointer does: line under it, its unit's step, a lasso being drawn. */
export function drawLayerOverlay(context: CanvasRenderingContext2D, lines: Lines, palette: Palette,
                                 pointer: { readonly line: number; readonly step: number | null; readonly lasso: readonly (readonly [number, number])[] }): void {
  const { frame } = lines;
  const x = pointer.step === null ? NaN : xOfStep(lines, pointer.step);
  if (Math.abs(x - xOfFocus(lines)) > 0.5 || Number.isNaN(xOfFocus(lines))) drawVertical(context, frame, x, palette.faint, 1, [3, 3]);
  if (pointer.line >= 0) {
    context.save();
    context.beginPath();
    context.rect(frame.x, frame.y - 3, frame.width, frame.height + 6);
    context.clip();
    context.lineJoin = "round";
    for (const [colour, width] of [[palette.surface, 5], [palette.text, 2]] as const) {
      context.strokeStyle = colour;
      context.lineWidth = lines.parts ? width * 0.6 : width;
      strokeLine(context, lines, pointer.line);
    }
    const column = pointer.step === null ? -1 : columnOf(lines.axis.steps, pointer.step);
    const base = pointer.line * lines.points;
    for (const at of column < 0 ? [] : new Set(columnsAt(lines, column))) {
      const value = lines.values[base + at]!;
      if (!Number.isFinite(value)) continue;
      context.fillStyle = palette.text;
      context.beginPath();
      context.arc(lines.parts ? x : xOf(lines, at), yOf(frame, lines.scale, value), 3.5, 0, Math.PI * 2);
      context.fill();
    }
    context.restore();
  }
  if (pointer.lasso.length > 1) {
    context.beginPath();
    for (const [x, y] of pointer.lasso) context.lineTo(x, y);
    context.closePath();
    context.fillStyle = palette.accent;
    context.globalAlpha = 0.1;
    context.fill();
    context.globalAlpha = 1;
    context.strokeStyle = palette.accent;
    context.lineWidth = 1.5;
    context.stroke();
  }
}

/**
 * The image's columns are linear in step, the chart's places are snapshots: each stretch is drawn into its own slot.
 * First and last snapshot, lowest and highest value stand on the centres of the image's outermost pixels.
 */
function drawDensity(context: CanvasRenderingContext2D, reply: DensityReply, image: HTMLCanvasElement, lines: Lines): void {
  const { steps } = lines.axis;
  const [first, last] = [steps[0], steps[steps.length - 1]];
  const heightOf = (value: number): number => lines.frame.y + lines.frame.height * (1 - unclipped(lines.scale, value));
  const pixel = (heightOf(reply.low) - heightOf(reply.high)) / Math.max(1, reply.height - 1);
  if (first === undefined || last === undefined || last === first || !(pixel > 0)) return;
  const column = (step: number): number => 0.5 + ((step - first) / (last - first)) * (reply.width - 1);
  context.imageSmoothingEnabled = true;
  for (const [a, b] of lines.axis.bySteps ? [[0, steps.length - 1] as const] : evenStretches(steps)) {
    const from = column(steps[a]!);
    context.drawImage(image, from, 0, Math.max(0.01, column(steps[b]!) - from), reply.height,
      xOf(lines, a), heightOf(reply.high) - pixel / 2, xOf(lines, b) - xOf(lines, a), pixel * reply.height);
  }
}

/** Stretches of snapshots with the same number of steps between them. */
export function evenStretches(steps: Float64Array): [number, number][] {
  const out: [number, number][] = [];
  let start = 0;
  for (let i = 1; i < steps.length; i++) {
    const even = i + 1 < steps.length && steps[i + 1]! - steps[i]! === steps[i]! - steps[i - 1]!;
    if (!even) (out.push([start, i]), (start = i));
  }
  return out;
}

/** Places on the axis before the first and after the last recorded snapshot. */
function drawUnrecorded(context: CanvasRenderingContext2D, lines: Lines, palette: Palette): void {
  const { axis, frame } = lines;
  const share = (index: number): number => Math.min(1, Math.max(0, shareOf(axis, index))) * frame.width;
  const [left, right] = [share(0), share(axis.steps.length - 1)];
  context.fillStyle = mix(palette.surface, palette.hairline, 0.55);
  if (left > 0.5) context.fillRect(frame.x, frame.y, left, frame.height);
  if (right < frame.width - 0.5) context.fillRect(frame.x + right, frame.y, frame.width - right, frame.height);
  context.font = FONT;
  context.fillStyle = palette.faint;
  context.textAlign = "center";
  context.textBaseline = "top";
  for (const [a, b] of [[0, left], [right, frame.width]] as const) if (b - a > 110) context.fillText("no snapshots", frame.x + (a + b) / 2, frame.y + 8);
}

export function drawSteps(context: CanvasRenderingContext2D, lines: Lines, palette: Palette): void {
  const { axis } = lines;
  const focus = axis.focus >= 0 ? { x: xOfFocus(lines), step: axis.bySteps ? axis.focusPlace : axis.steps[axis.focus]! } : null;
  if (axis.bySteps) {
    const marks = linearTicks(axis.from, axis.to, Math.max(2, Math.round(lines.frame.width / 90))).filter(Number.isInteger);
    return drawStepAxis(context, lines.frame, marks.map((step) => ({ x: xOfStep(lines, step), step })), palette, focus);
  }
  const from = Math.max(0, Math.ceil(axis.from));
  const to = Math.min(axis.steps.length - 1, Math.floor(axis.to));
  const at = axis.focus < 0 ? from : axis.focus;
  const every = Math.max(1, Math.ceil((to - from + 1) / 8));
  const places: { x: number; step: number }[] = [];
  for (let i = at - Math.floor((at - from) / every) * every; i <= to; i += every) places.push({ x: xOf(lines, i), step: axis.steps[i]! });
  drawStepAxis(context, lines.frame, places, palette, focus);
}
