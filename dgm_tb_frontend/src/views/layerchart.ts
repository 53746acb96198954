/** The layer's chart: its lines on one canvas, pointer and lasso on another, and what they do. */

import { batch, computed, effect, signal } from "@preact/signals";
import { yOf } from "../canvas/chart";
import { densityImage } from "../canvas/density";
import { drawLayer, drawLayerOverlay, layerLines, layerScale } from "../canvas/layer";
import { extent } from "../canvas/envelope";
import { columnsAt, type Lines, linesIn, nearestLine, xOf } from "../canvas/lines";
import { SlicedSurface } from "../canvas/sliced";
import { Surface } from "../canvas/surface";
import type { Extent as Size } from "../canvas/viewport";
import { indexAt, lastAtOrBefore, stepAtShare } from "../lib/axis";
import { formatCount, formatExtent, formatScore, formatSteps } from "../lib/numbers";
import { CATEGORIES, PALETTES } from "../lib/palette";
import { addUnits, chooseUnits, pinNearest } from "../state/actions";
import * as atoms from "../state/atoms";
import { axisFor } from "../state/getters";
import { probes } from "../state/probes";

/** How near the pointer must come to a line, pixels. */
const REACH = 14;

/** The budget while the slider is being dragged: a prefix of what is here needs no request. */
export const dragged = signal<number | null>(null);
/** Lines drawn now. */
export const prefix = computed(() => Math.min(dragged.value ?? Infinity, atoms.layer.value.data?.drawn ?? 0));

type Corner = readonly [number, number];

/** Owns both canvases and the pointer. The result takes them away. */
export function mountLayerChart(host: HTMLElement, tip: HTMLElement): () => void {
  const lasso = signal<readonly Corner[]>([]);
  const axes = computed(() => {
    const reply = atoms.layer.value.data;
    if (!reply || !reply.step.length) return null;
    return { reply, axis: axisFor(reply.step, reply.focus, reply.level), scale: layerScale(atoms.scale.value, reply, atoms.density.value.data) };
  });
  // Made anew only where something changed: the pointer asks for it at every move.
  let made: { readonly of: unknown; readonly lines: Lines } | null = null;
  const lines = ({ width, height }: Size): Lines | null => {
    const of = axes.peek();
    if (!of) return null;
    const box = made?.lines.box;
    if (made?.of !== of || box?.width !== width || box.height !== height) made = { of, lines: layerLines(of.reply, of.axis, of.scale, width, height) };
    return made.lines;
  };
  const image = computed(() => {
    const reply = atoms.density.value.data;
    const picture = reply && densityImage(reply, atoms.theme.value);
    return reply && picture ? { reply, image: picture } : null;
  });
  const base = new SlicedSurface(host, function* (surface, context) {
    const reply = atoms.layer.peek().data;
    const shown = lines(surface);
    if (!reply || !shown) return;
    yield* drawLayer(context, {
      reply, density: image.peek(), lines: shown, palette: PALETTES[atoms.theme.peek()], colours: CATEGORIES[atoms.theme.peek()],
      prefix: prefix.peek(), chosen: atoms.chosenUnits.peek(),
    }, surface.hairline);
  });
  const overlay = new Surface(host, (surface, context) => {
    const reply = atoms.layer.peek().data;
    const shown = lines(surface);
    if (!reply || !shown) return;
    const step = atoms.hoveredStep.peek();
    const unit = atoms.hoveredUnit.peek();
    drawLayerOverlay(context, shown, PALETTES[atoms.theme.peek()], { line: unit === null ? -1 : reply.unit.indexOf(unit), step, lasso: lasso.peek() });
  });
  host.append(tip);
  const stopBase = effect(() => {
    void [atoms.layer.value, image.value, atoms.theme.value, prefix.value, atoms.chosenUnits.value, atoms.windowSize.value, atoms.pinned.value, atoms.range.value];
    // A new focus is drawn once, with its own density: twice would cost as much again, and the value axis would jump.
    const [reply, under] = [atoms.layer.value.data, atoms.density.value];
    if (reply && under.data && under.error === null && under.data.focus !== reply.focus) return;
    base.invalidate();
    overlay.invalidate();
  });
  const stopOverlay = effect(() => {
    void [atoms.hoveredStep.value, atoms.hoveredUnit.value, lasso.value];
    overlay.invalidate();
  });

  const place = (event: PointerEvent): Corner => {
    const box = host.getBoundingClientRect();
    return [event.clientX - box.left, event.clientY - box.top];
  };
  const drawn = (line: number): boolean => line < prefix.peek() || atoms.chosenUnits.peek().includes(atoms.layer.peek().data!.unit[line]!);
  const hover = ([x, y]: Corner): void => {
    const reply = atoms.layer.peek().data;
    const shown = lines(base);
    if (!reply || !shown) return;
    const line = nearestLine(shown, x, y, REACH, drawn);
    const share = (x - shown.frame.x) / shown.frame.width;
    batch(() => {
      atoms.hoveredUnit.value = line >= 0 ? reply.unit[line]! : null;
      atoms.hoveredStep.value = stepAtShare(shown.axis, share);
    });
    const step = atoms.hoveredStep.peek();
    say(line, columnsAt(shown, shown.axis.bySteps && step !== null ? lastAtOrBefore(reply.step, step) : indexAt(shown.axis, share)), x, y);
  };
  const say = (line: number, [first, last]: readonly [number, number], x: number, y: number): void => {
    const reply = atoms.layer.peek().data!;
    tip.hidden = line < 0;
    if (line < 0) return;
    const [unit, weight, score] = [reply.unit[line]!, reply.weight[line]!, reply.score[line]!];
    const [base, isPoint] = [line * reply.step.length, first !== last];
    const [low, high] = isPoint ? extent(reply.values, base + first, base + last) : [reply.values[base + first]!, reply.values[base + first]!];
    tip.replaceChildren(
      ...[["b", `Unit ${unit}`], ["span", `${formatExtent(low, high, 4)} ${formatSteps(reply.step[first]!, reply.step[last]!)}`],
        ["span", weight > 1 ? `stands for ${formatCount(weight)} units` : "stands for itself"], ["span", `jump z ${formatScore(score)}${reply.outlier[line] ? ", outlier" : ""}`]]
        .map(([tag, text]) => Object.assign(document.createElement(tag!), { textContent: text })));
    const left = x + 16 + tip.offsetWidth > host.clientWidth ? x - tip.offsetWidth - 12 : x + 16;
    tip.style.transform = `translate(${Math.max(2, left)}px, ${Math.min(Math.max(2, y - 20), host.clientHeight - tip.offsetHeight - 4)}px)`;
  };
  let start: Corner | null = null;
  const down = (event: PointerEvent): void => {
    if (event.button !== 0) return;
    start = place(event);
    host.setPointerCapture(event.pointerId);
  };
  const move = (event: PointerEvent): void => {
    const at = place(event);
    const far = start !== null && Math.hypot(at[0] - start[0], at[1] - start[1]) > 5;
    if (start && (far || lasso.peek().length)) {
      tip.hidden = true;
      lasso.value = [...(lasso.peek().length ? lasso.peek() : [start]), at];
    } else hover(at);
  };
  const up = (event: PointerEvent): void => {
    const reply = atoms.layer.peek().data;
    const shown = lines(base);
    const from = start;
    start = null;
    const polygon = lasso.peek();
    lasso.value = [];
    if (!from || !reply || !shown) return;
    if (polygon.length > 2) {
      const units = linesIn(shown, polygon, drawn).map((line) => reply.unit[line]!);
      if (event.shiftKey) addUnits(units);
      else chooseUnits(units, false);
      return;
    }
    const [x, y] = place(event);
    const step = stepAtShare(shown.axis, (x - shown.frame.x) / shown.frame.width);
    if (y > shown.frame.y + shown.frame.height) return void (step !== null && pinNearest(step));
    const line = nearestLine(shown, x, y, REACH, drawn);
    if (line >= 0) chooseUnits([reply.unit[line]!], event.shiftKey);
  };
  const leave = (): void => batch(() => {
    tip.hidden = true;
    atoms.hoveredUnit.value = null;
    atoms.hoveredStep.value = null;
  });
  const clearChoice = (): void => chooseUnits([], false);
  const listeners = { pointerdown: down, pointermove: move, pointerup: up, pointerleave: leave, dblclick: clearChoice } as const;
  for (const [name, listener] of Object.entries(listeners)) host.addEventListener(name, listener as EventListener);
  probes.drawing = () => base.drawing;
  probes.unitPoint = (unit, step) => {
    const reply = atoms.layer.peek().data;
    const shown = lines(base);
    const line = reply ? reply.unit.indexOf(unit) : -1;
    const index = reply && shown ? columnsAt(shown, lastAtOrBefore(reply.step, step))[1] : -1;
    if (!reply || !shown || line < 0 || index < 0) return null;
    const value = reply.values[line * reply.step.length + index]!;
    const origin = host.getBoundingClientRect();
    return Number.isFinite(value) ? { x: origin.left + xOf(shown, index), y: origin.top + yOf(shown.frame, shown.scale, value) } : null;
  };
  return () => {
    for (const [name, listener] of Object.entries(listeners)) host.removeEventListener(name, listener as EventListener);
    stopBase();
    stopOverlay();
    base.dispose();
    overlay.dispose();
    probes.drawing = () => false;
    probes.unitPoint = () => null;
  };
}
