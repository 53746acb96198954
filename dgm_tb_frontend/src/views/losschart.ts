/** The loss chart itself: uPlot with our axes, marks and pointer. A click takes a snapshot, a drag a range. */

import { effect } from "@preact/signals";
import uPlot from "uplot";
import { DIAMOND, drawLossMarks, lossColour } from "../canvas/loss";
import { firstAtOrAfter, lastAtOrBefore } from "../lib/axis";
import { lossAxis, type LossAxis, lossTicks } from "../lib/lossaxis";
import { formatCount, formatValue } from "../lib/numbers";
import { PALETTES } from "../lib/palette";
import { snapshotAt } from "../lib/pick";
import { sampled } from "../lib/sampled";
import { brush, clearRange, pinNearest } from "../state/actions";
import { deepSteps } from "../state/answers";
import { cause, chooseDeep, from, to } from "../state/cause";
import * as atoms from "../state/atoms";
import { focus, lossScale, metrics, snapshots, thinned } from "../state/getters";
import type { LossHistory } from "../state/history";
import { probes } from "../state/probes";

/** Snapshots this near to the pointer are those that it may mean, pixels. */
const REACH = 1.5;
/** Losses that suffice to tell the usual size of a curve. */
const SAMPLED_LOSSES = 20_000;

/** Owns the chart: remade when what is drawn changes, fed when data come. The result takes it away. */
export function mountLossChart(host: HTMLElement): () => void {
  let chart: uPlot | null = null;
  const focusLine = marker(host, "focus-line");
  const hoverLine = marker(host, "hover-line");
  const hint = hoverLine.appendChild(host.ownerDocument.createElement("span"));
  const observer = new ResizeObserver(() => chart?.setSize({ width: host.clientWidth, height: host.clientHeight }));
  observer.observe(host);
  const stopMaking = effect(() => {
    const data = atoms.loss.peek().data;
    const options = { theme: atoms.theme.value, scale: lossScale.value, names: [...metrics.value] };
    chart?.destroy();
    chart = data && host.clientWidth ? makeChart(host, data, options, () => place()) : null;
    chart?.over.append(focusLine, hoverLine);
    place();
  });
  const stopFeeding = effect(() => {
    const { data } = atoms.loss.value;
    void [atoms.range.value, snapshots.value];
    if (!chart || !data) return;
    chart.setData(table(data, [...metrics.peek()], axisOf(data, [...metrics.peek()], lossScale.peek())), true);
    place();
  });
  function place(): void {
    position(chart, focusLine, focus.peek());
    hover(atoms.hoveredStep.peek());
  }
  const stopDeep = effect(() => {
    void [deepSteps.value, cause.value, from.value, to.value];
    chart?.redraw(false);
  });
  const stopFocus = effect(() => position(chart, focusLine, focus.value));
  const stopHover = effect(() => hover(atoms.hoveredStep.value));
  function hover(step: number | null): void {
    position(chart, hoverLine, step);
    if (!chart || step === null) return;
    const meant = chart.cursor.left !== undefined && chart.cursor.left >= 0 ? snapshotMeant(chart, chart.cursor.left) : null;
    const words = [formatCount(step), thinned.peek().some(([first, last]) => step >= first && step <= last) ? "thinned: minima and maxima over several snapshots only" : "",
      meant === null || meant === step ? "" : `click: snapshot ${formatCount(meant)}`];
    hint.textContent = words.filter(Boolean).join(", ");
    hint.className = chart.valToPos(step, "x") > chart.over.clientWidth - hint.offsetWidth - 10 ? "left" : "";
  }
  probes.lossPoint = (step) => {
    if (!chart) return null;
    const box = chart.over.getBoundingClientRect();
    return { x: box.left + chart.valToPos(step, "x"), y: box.top + box.height / 2 };
  };
  return () => {
    [stopMaking, stopFeeding, stopDeep, stopFocus, stopHover].forEach((stop) => stop());
    observer.disconnect();
    chart?.destroy();
    probes.lossPoint = () => null;
  };
}

function marker(host: HTMLElement, name: string): HTMLElement {
  const line = host.ownerDocument.createElement("div");
  line.className = name;
  return line;
}

function position(chart: uPlot | null, line: HTMLElement, step: number | null): void {
  const x = chart && step !== null ? chart.valToPos(step, "x") : NaN;
  const shown = chart !== null && x >= -0.5 && x <= chart.over.clientWidth + 0.5;
  line.style.display = shown ? "" : "none";
  if (shown) line.style.transform = `translateX(${Math.round(x)}px)`;
}

/** The deep steps that a change is explained between, the later one last. */
const compared = (): number[] => {
  const how = cause.peek();
  return how ? [how.method === "change" ? from.peek() : null, to.peek()].map((step) => step ?? NaN) : [];
};

/** The deep snapshot whose diamond is at a place of the chart. */
function deepAt(chart: uPlot, left: number, top: number): number | null {
  const off = (step: number): number => Math.abs(chart.valToPos(step, "x") - left);
  if (Math.abs(chart.over.clientHeight - DIAMOND.up - top) > DIAMOND.half + 3) return null;
  const found = deepSteps.peek().reduce<number | null>((best, step) => (best === null || off(step) <= off(best) ? step : best), null);
  return found !== null && off(found) <= DIAMOND.half + 2 ? found : null;
}

/** The snapshot that a click at `left` pixels of the chart takes. */
function snapshotMeant(chart: uPlot, left: number): number | null {
  const data = atoms.loss.peek().data;
  const at = chart.posToVal(left, "x");
  const reach = chart.posToVal(left + REACH, "x") - at;
  const losses = data?.values.length ? { step: data.step, value: data.values[0]!, logged: data.logged[0]! } : null;
  return snapshotAt(snapshots.peek(), at, reach, losses);
}

const columnOf = (data: LossHistory, name: string): Float64Array => data.values[data.columns.indexOf(name)] ?? new Float64Array();

/** The value axis for what is drawn within the brushed range. */
function axisOf(data: LossHistory, names: readonly string[], scale: atoms.LossScale): LossAxis {
  const [low, high] = domain(data);
  const [first, last] = [firstAtOrAfter(data.step, low), lastAtOrBefore(data.step, high)];
  return lossAxis(scale, names.flatMap((name) => sampled(columnOf(data, name), SAMPLED_LOSSES, first, last)));
}

/** uPlot's columns; null where there is nothing to draw, so that neither a gap nor a NaN looks like a zero. */
function table(data: LossHistory, names: readonly string[], axis: LossAxis): uPlot.AlignedData {
  const drawable = (value: number): boolean => Number.isFinite(value) && (axis.scale !== "log" || value > 0);
  const column = (name: string): (number | null)[] => Array.from(columnOf(data, name), (value) => (drawable(value) ? Math.min(value, axis.high) : null));
  return [Array.from(data.step), ...names.map(column)] as uPlot.AlignedData;
}

function domain(data: LossHistory): [number, number] {
  const ends = [data.step[0], data.step.at(-1), data.snapshots[0], data.snapshots.at(-1)].filter((v) => v !== undefined);
  const brushed = atoms.range.value === atoms.WHOLE ? null : atoms.range.value;
  const [low, high] = brushed ?? [Math.min(...ends), Math.max(...ends)];
  if (!Number.isFinite(low)) return [0, 1];
  // Room at the right, so that the newest step and its marks are not cut in half.
  const room = brushed ? 0 : Math.max(0.5, (high - low) * 0.006);
  return [low - room, high + room];
}

interface Drawn {
  readonly theme: atoms.Theme;
  readonly scale: atoms.LossScale;
  readonly names: readonly string[];
}

function makeChart(host: HTMLElement, made: LossHistory, { theme, scale, names }: Drawn, placed: () => void): uPlot {
  const palette = PALETTES[theme];
  const newest = (): LossHistory => atoms.loss.peek().data ?? made;
  let axis = axisOf(made, names, scale);
  const look: uPlot.Axis = { stroke: palette.muted, font: "11px Roboto, 'Segoe UI', system-ui, sans-serif", grid: { stroke: palette.hairline, width: 1 }, ticks: { show: false }, gap: 4 };
  const every = (_: uPlot, values: number[]): number[] => values;
  let pressed = 0;
  return new uPlot({
    width: host.clientWidth,
    height: host.clientHeight,
    legend: { show: false },
    padding: [8, 14, 0, 0],
    cursor: {
      y: false,
      points: { size: 6 },
      drag: { x: true, y: false, setScale: false, dist: 4 },
      bind: { dblclick: () => () => { clearRange(); return null; } },
    },
    scales: {
      x: { time: false, range: () => domain(newest()) },
      y: {
        ...{ linear: {}, log: { distr: 3, log: 10 }, symlog: { distr: 4, asinh: axis.threshold } }[scale],
        range: () => (axis = axisOf(newest(), names, scale), [axis.low, axis.high]),
      } as uPlot.Scale,
    },
    axes: [
      { ...look, size: 24, space: 80, values: (_, values) => values.map((value) => (Number.isInteger(value) ? formatCount(value) : "")) },
      // uPlot's own ticks of a logarithmic scale are dozens, and unlabelled unless they are powers of ten.
      { ...look, size: 58, splits: (u) => lossTicks(axis, Math.max(2, Math.round((u.height - 32) / 26))), filter: every, grid: { ...look.grid, filter: every },
        values: (_, values) => values.map((value) => formatValue(value, 3)) },
    ],
    series: [{}, ...names.map((name): uPlot.Series => ({ label: name, stroke: lossColour(made.columns, name, theme), width: 1.5, points: { show: false }, spanGaps: !everyStep(made, name) }))],
    hooks: {
      draw: [(u) => drawLossMarks(u.ctx, {
        frame: { x: u.bbox.left, y: u.bbox.top, width: u.bbox.width, height: u.bbox.height }, ratio: uPlot.pxRatio, x: (step) => u.valToPos(step, "x", true),
        snapshots: snapshots.peek(), thinned: thinned.peek(), deep: deepSteps.peek(), compared: compared(), ceiling: axis.ceiling, theme,
        curves: names.map((name) => ({ colour: lossColour(made.columns, name, theme), step: newest().step, values: columnOf(newest(), name), logged: newest().logged[newest().columns.indexOf(name)] ?? new Uint8Array() })),
      }), placed],
      ready: [(u) => {
        u.over.addEventListener("mousedown", (event) => void (pressed = event.clientX));
        u.over.addEventListener("click", (event) => {
          const box = u.over.getBoundingClientRect();
          const deep = deepAt(u, event.clientX - box.left, event.clientY - box.top);
          if (deep !== null && Math.abs(event.clientX - pressed) < 4) return chooseDeep(deep);
          const meant = Math.abs(event.clientX - pressed) < 4 ? snapshotMeant(u, event.clientX - box.left) : null;
          if (meant !== null) pinNearest(meant);
        });
        u.over.addEventListener("mouseleave", () => void (atoms.hoveredStep.value = null));
      }],
      setCursor: [(u) => {
        const { left } = u.cursor;
        const index = u.cursor.idx;
        if (left !== undefined && left >= 0 && index !== null && index !== undefined) atoms.hoveredStep.value = u.data[0][index] ?? null;
      }],
      setSelect: [(u) => {
        if (u.select.width > 3) brush(u.posToVal(u.select.left, "x"), u.posToVal(u.select.left + u.select.width, "x"));
        u.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
      }],
    },
  }, table(made, names, axis), host);
}

/** A metric logged at fewer steps than the loss is joined across them; a gap in the loss itself stays a gap. */
function everyStep(data: LossHistory, name: string): boolean {
  const logged = data.logged[data.columns.indexOf(name)];
  return !logged || logged.reduce((sum, flag) => sum + flag, 0) > 0.9 * logged.length;
}
