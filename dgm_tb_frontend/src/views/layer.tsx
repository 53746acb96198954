/** C: the units of one layer as sampled lines; hover names a unit, click and lasso choose some, outliers are listed. */

import { useEffect, useRef } from "preact/hooks";
import { batch, computed, effect, signal } from "@preact/signals";
import { densityImage } from "../canvas/density";
import { drawLayer, drawLayerOverlay, jumped, layerLines, layerScale } from "../canvas/layer";
import { type Lines, linesIn, nearestLine, xOf } from "../canvas/lines";
import { Surface } from "../canvas/surface";
import { yOf } from "../canvas/chart";
import { indexAt, lastAtOrBefore } from "../lib/axis";
import { formatCount, formatScore, formatValue } from "../lib/numbers";
import { CATEGORIES, EXTREME, PALETTES } from "../lib/palette";
import { addUnits, chooseNode, chooseUnits, pinNearest } from "../state/actions";
import * as atoms from "../state/atoms";
import { axisFor, node } from "../state/getters";
import { probes } from "../state/probes";
import { Slider } from "./control";
import { NeuronStrip } from "./neuron";
import { Outliers } from "./outliers";
import { Panel } from "./panel";

const BUDGET = { min: 20, max: 2000, step: 20 };
/** How near the pointer must come to a line, pixels. */
const REACH = 14;

/** The budget while the slider is being dragged: a prefix of what is here needs no request. */
const dragged = signal<number | null>(null);
const prefix = computed(() => Math.min(dragged.value ?? Infinity, atoms.layer.value.data?.drawn ?? 0));

export function LayerPanel() {
  const chosen = atoms.chosenNode.value;
  const reply = atoms.layer.value.data;
  if (chosen === null) return <Panel name="layer" title="Layer"><Invitation /></Panel>;
  const outliers = reply ? reply.outlier.subarray(0, prefix.value).reduce((sum, flag) => sum + flag, 0) : 0;
  const jumps = reply ? Array.from({ length: prefix.value }, (_, line) => jumped(reply, line)).filter(Boolean).length : 0;
  const recorded = node.value?.quantities.includes(atoms.quantity.value) ?? true;
  return (
    <Panel name="layer" title={chosen} source={recorded ? atoms.layer : undefined!}
      subtitle={<span data-testid="layer-count">
        {node.value?.module_type} · {reply ? <>{formatCount(prefix.value)} of {formatCount(reply.units)} units{counted(outliers, "outlier", "outlier-text")}{counted(jumps, "jump", "hot-text")}</> : "…"}
      </span>}
      tools={<>
        <Slider label="Lines" name="lines" {...BUDGET} value={dragged.value ?? atoms.lineBudget.value} shown={`${dragged.value ?? atoms.lineBudget.value}`}
          onInput={(value) => (dragged.value = value)} onSettled={(value) => batch(() => ((dragged.value = null), (atoms.lineBudget.value = value)))} />
        <button type="button" class="icon" aria-label="Close the layer" title="Close (Esc)" data-testid="layer-close" onClick={() => chooseNode(null)}>×</button>
      </>}>
      {recorded ? <>
        <div class="layer-columns">
          <div class="layer-main">
            <LayerChart />
            <NeuronStrip />
          </div>
          <Outliers prefix={prefix.value} />
        </div>
        <Footer />
      </> : <p class="hint center">{chosen} has no {atoms.quantity.value.replaceAll("_", " ")}. It records {(node.value?.quantities ?? []).map((q) => q.replaceAll("_", " ")).join(", ") || "nothing"}.</p>}
    </Panel>
  );
}

function counted(count: number, noun: string, style: string) {
  return count ? <>, <b class={style}>{formatCount(count)} {noun}{count === 1 ? "" : "s"}</b></> : null;
}

/** What the lines mean, and what can be done with them. */
function Footer() {
  return (
    <footer class="panel-foot">
      <span class="legend">
        <span><i class="key-line" />units, by weight</span><span><i class="key-line hot" />jump z ≥ {EXTREME}</span><span><i class="key-line outlier" />outlier</span>
        <span><i class="key-density" />density of all units</span>
      </span>
      {!atoms.chosenUnits.value.length && <span class="foot-hint" data-testid="strip-hint">Click a line, or draw around several</span>}
    </footer>
  );
}

function Invitation() {
  return (
    <div class="invitation" data-testid="invitation">
      <svg viewBox="0 0 120 56" width="120" height="56" aria-hidden="true">
        {[0, 1, 2, 3, 4, 5].map((k) => <path key={k} d={`M4 ${34 + k * 2} C 30 ${30 + k * 3}, 50 ${36 + k}, 62 ${33 + k * 2} S 100 ${31 + k * 3}, 116 ${34 + k * 2}`} class="invite-line" />)}
        <path d="M4 36 C 30 36, 50 38, 60 33 S 74 6, 84 6 S 104 34, 116 36" class="invite-hot" />
      </svg>
      <p>Choose a module in the network, or one of the biggest jumps, to see each of its units.</p>
    </div>
  );
}

function LayerChart() {
  const host = useRef<HTMLDivElement>(null);
  const tip = useRef<HTMLDivElement>(null);
  useEffect(() => mountChart(host.current!, tip.current!), []);
  return (
    <div class="layer-chart" ref={host} data-testid="layer-chart" role="img"
      aria-label="Lines of the layer's units over the snapshots around the focus. The list of outliers beside it says the same in words.">
      <div class="tip" ref={tip} data-testid="layer-tip" hidden />
    </div>
  );
}

type Corner = readonly [number, number];

/** Owns both canvases and the pointer. The result takes them away. */
function mountChart(host: HTMLElement, tip: HTMLElement): () => void {
  const lasso = signal<readonly Corner[]>([]);
  const lines = (surface: Surface): Lines | null => {
    const reply = atoms.layer.peek().data;
    if (!reply || !reply.step.length) return null;
    const density = atoms.density.peek().data;
    return layerLines(reply, axisFor(reply.step, reply.focus), layerScale(atoms.scale.peek(), reply, density), surface.width, surface.height);
  };
  const image = computed(() => {
    const reply = atoms.density.value.data;
    const picture = reply && densityImage(reply, atoms.theme.value);
    return reply && picture ? { reply, image: picture } : null;
  });
  const base = new Surface(host, (surface, context) => {
    const reply = atoms.layer.peek().data;
    const shown = lines(surface);
    if (!reply || !shown) return;
    drawLayer(context, {
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
    const at = step === null ? -1 : lastAtOrBefore(reply.step, step);
    drawLayerOverlay(context, shown, PALETTES[atoms.theme.peek()], { line: unit === null ? -1 : reply.unit.indexOf(unit), index: at >= 0 ? at : null, lasso: lasso.peek() });
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
    const index = indexAt(shown.axis, (x - shown.frame.x) / shown.frame.width);
    batch(() => {
      atoms.hoveredUnit.value = line >= 0 ? reply.unit[line]! : null;
      atoms.hoveredStep.value = reply.step[index] ?? null;
    });
    say(line, index, x, y);
  };
  const say = (line: number, index: number, x: number, y: number): void => {
    const reply = atoms.layer.peek().data!;
    tip.hidden = line < 0;
    if (line < 0) return;
    const [unit, weight, score] = [reply.unit[line]!, reply.weight[line]!, reply.score[line]!];
    const value = reply.values[line * reply.step.length + index]!;
    tip.replaceChildren(
      ...[["b", `Unit ${unit}`], ["span", `${formatValue(value, 4)} at step ${formatCount(reply.step[index]!)}`],
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
    if (y > shown.frame.y + shown.frame.height) return pinNearest(reply.step[indexAt(shown.axis, (x - shown.frame.x) / shown.frame.width)]!);
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
  probes.unitPoint = (unit, step) => {
    const reply = atoms.layer.peek().data;
    const shown = lines(base);
    const line = reply ? reply.unit.indexOf(unit) : -1;
    const index = reply ? lastAtOrBefore(reply.step, step) : -1;
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
    probes.unitPoint = () => null;
  };
}
