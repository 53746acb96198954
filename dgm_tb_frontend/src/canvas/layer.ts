/** Draws a layer: density of all lines beneath, the sampled lines by weight, outliers and jumps solid, the chosen units on top. */

import type { DensityReply, LayerReply } from "../api/types";
import { shareOf, type SnapshotAxis } from "../lib/axis";
import { EXTREME, mix, type Palette } from "../lib/palette";
import { beyond, fitScale, padded, type ScaleName, unclipped, type ValueScale, withinReach } from "../lib/scale";
import { drawStepAxis, drawValueAxis, drawVertical, FONT, plotFrame, yOf } from "./chart";
import { Clipped } from "./clipped";
import { breaks, type Lines, tracePath, xOf } from "./lines";
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
export const jumped = (reply: LayerReply, line: number): boolean => reply.score[line]! >= EXTREME;

const marked = (reply: LayerReply, line: number): boolean => reply.outlier[line] !== 0 || jumped(reply, line);

/** The value scale of the whole layer where its density is known, else of the lines that came. */
export function layerScale(name: ScaleName, reply: LayerReply, density: DensityReply | null): ValueScale {
  if (!density || !(density.high > density.low)) return fitScale(name, reply.values);
  return padded(withinReach({ name, low: density.low, high: density.high, threshold: density.threshold > 0 ? density.threshold : 1 }));
}

export const layerLines = (reply: LayerReply, axis: SnapshotAxis, scale: ValueScale, width: number, height: number): Lines =>
  ({ frame: plotFrame(width, height, MARGINS), axis, scale, count: reply.drawn, points: reply.step.length, values: reply.values });

/** Lines between two yields: a millisecond or two. */
const BATCH = 24;

/** Draws the layer, yielding now and then: the order of what is drawn is the same however it is sliced. */
export function* drawLayer(context: CanvasRenderingContext2D, scene: LayerScene, hairline: number): Generator<void, void> {
  const { lines, palette, reply } = scene;
  const { frame, axis } = lines;
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
  context.lineJoin = "round";
  for (const [order, line] of plain.entries()) {
    const share = Math.sqrt(reply.weight[line]! / most);
    context.globalAlpha = strength * (0.4 + 0.6 * share);
    context.lineWidth = Math.max(hairline, 0.5 + 1.1 * share);
    context.strokeStyle = palette.line;
    tracePath(context, lines, line);
    context.stroke();
    if (order % BATCH === BATCH - 1) yield;
  }
  const few = conspicuous.length <= 40;
  for (const [order, line] of conspicuous.entries()) {
    context.lineWidth = few ? 1.5 : 1;
    context.strokeStyle = jumped(reply, line) ? palette.heat : palette.outlier;
    context.globalAlpha = (chosen.size ? 0.5 : 0.95) * Math.min(1, Math.max(0.25, 40 / conspicuous.length));
    tracePath(context, lines, line);
    context.stroke();
    if (order % BATCH === BATCH - 1) yield;
  }
  context.globalAlpha = 1;
  drawVertical(context, { ...frame, y: frame.y - 3, height: frame.height + 6 }, xOf(lines, axis.focus), palette.focus, 1.5);
  scene.chosen.forEach((unit, order) => {
    const line = reply.unit.indexOf(unit);
    if (line < 0) return;
    context.strokeStyle = scene.colours[order % scene.colours.length]!;
    context.lineWidth = 2.25;
    tracePath(context, lines, line);
    context.stroke();
  });
  yield;
  for (const line of drawn) {
    if (!reply.nonfinite[line]) continue;
    context.strokeStyle = palette.bad;
    for (const { x, y } of breaks(lines, line).slice(0, 4)) cross(context, x, y, 3);
  }
  context.restore();
  drawClipped(context, lines, drawn, palette);
  drawSteps(context, lines, palette);
}

function drawClipped(context: CanvasRenderingContext2D, lines: Lines, drawn: readonly number[], palette: Palette): void {
  const clipped = new Clipped();
  const { scale, points, values } = lines;
  for (let index = 0; index < points; index++) {
    let [low, high] = [Infinity, -Infinity];
    for (const line of drawn) {
      const value = values[line * points + index]!;
      if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    for (const value of [low, high]) clipped.note(xOf(lines, index), beyond(scale, value), value);
  }
  clipped.draw(context, lines.frame, palette);
}

/** What the pointer does: line under it, its unit's step, a lasso being drawn. */
export function drawLayerOverlay(context: CanvasRenderingContext2D, lines: Lines, palette: Palette,
                                 pointer: { readonly line: number; readonly index: number | null; readonly lasso: readonly (readonly [number, number])[] }): void {
  const { frame } = lines;
  if (pointer.index !== null && pointer.index !== lines.axis.focus) drawVertical(context, frame, xOf(lines, pointer.index), palette.faint, 1, [3, 3]);
  if (pointer.line >= 0) {
    context.save();
    context.beginPath();
    context.rect(frame.x, frame.y - 3, frame.width, frame.height + 6);
    context.clip();
    context.lineJoin = "round";
    for (const [colour, width] of [[palette.surface, 5], [palette.text, 2]] as const) {
      context.strokeStyle = colour;
      context.lineWidth = width;
      tracePath(context, lines, pointer.line);
      context.stroke();
    }
    const value = pointer.index === null ? NaN : lines.values[pointer.line * lines.points + pointer.index]!;
    if (pointer.index !== null && Number.isFinite(value)) {
      context.fillStyle = palette.text;
      context.beginPath();
      context.arc(xOf(lines, pointer.index), yOf(frame, lines.scale, value), 3.5, 0, Math.PI * 2);
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
  for (const [a, b] of evenStretches(steps)) {
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
  const from = Math.max(0, Math.ceil(axis.from));
  const to = Math.min(axis.steps.length - 1, Math.floor(axis.to));
  const every = Math.max(1, Math.ceil((to - from + 1) / 8));
  const places: { x: number; step: number }[] = [];
  for (let i = axis.focus - Math.floor((axis.focus - from) / every) * every; i <= to; i += every) places.push({ x: xOf(lines, i), step: axis.steps[i]! });
  const focus = axis.focus >= 0 ? { x: xOf(lines, axis.focus), step: axis.steps[axis.focus]! } : null;
  drawStepAxis(context, lines.frame, places, palette, focus);
}
