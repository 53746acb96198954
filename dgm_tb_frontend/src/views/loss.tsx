/** A: loss and metrics of every step. Click sets the focus, dragging brushes a range; ticks mark snapshots. */

import { useEffect, useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import uPlot from "uplot";
import { cross } from "../canvas/spark";
import { nearest } from "../lib/axis";
import { formatCount, formatValue } from "../lib/numbers";
import { CATEGORIES, PALETTES } from "../lib/palette";
import { brush, clearRange, pinNearest, toggleMetric } from "../state/actions";
import * as atoms from "../state/atoms";
import { focus, lossScale, metrics } from "../state/getters";
import type { LossHistory } from "../state/history";
import { probes } from "../state/probes";
import { Segments } from "./control";
import { Panel } from "./panel";

export function LossPanel() {
  const data = atoms.loss.value.data;
  const count = data?.step.length ?? 0;
  return (
    <Panel name="loss" title="Loss" source={atoms.loss}
      subtitle={<Metrics />}
      tools={<>
        <RangeChip />
        <Legend />
        <Segments label="Loss axis" name="loss-scale" value={lossScale.value} onChange={(value) => (atoms.lossScale.value = value)} options={[
          { value: "linear", label: "Linear" }, { value: "log", label: "Log", title: "Positive values only" },
          { value: "symlog", label: "Symlog", title: "Linear near zero, logarithmic beyond" },
        ]} />
      </>}>
      {data && count === 0 && <p class="hint">No loss was logged in this run; ticks at the bottom mark its snapshots.</p>}
      {data && <LossChart />}
    </Panel>
  );
}

const colourOf = (data: LossHistory, name: string): string => {
  const colours = [PALETTES[atoms.theme.value].line, ...CATEGORIES[atoms.theme.value]];
  return colours[data.columns.indexOf(name) % colours.length]!;
};

/** One chip a metric: switches it on and off, and says its value at the pointer or the focus. */
function Metrics() {
  const data = atoms.loss.value.data;
  if (!data) return null;
  const step = atoms.hoveredStep.value ?? focus.value;
  const at = step === null ? -1 : nearest(data.step, step);
  return (
    <div class="metrics" role="group" aria-label="Metrics">
      {data.columns.map((name, column) => {
        const on = metrics.value.has(name);
        const logged = at >= 0 && data.logged[column]![at];
        return (
          <button key={name} type="button" class="chip" aria-pressed={on} data-testid={`metric-${name}`} onClick={() => toggleMetric(name)}>
            <span class="swatch" style={{ background: colourOf(data, name) }} />
            {name}
            {on && <b>{logged ? formatValue(data.values[column]![at]!, 4) : "–"}</b>}
          </button>
        );
      })}
    </div>
  );
}

function RangeChip() {
  const range = atoms.range.value;
  if (!range) return null;
  return (
    <span class="range-chip" data-testid="range">
      Steps {formatCount(range[0])} to {formatCount(range[1])} only
      <button type="button" class="icon" aria-label="Show all steps" title="Show all steps (Esc)" data-testid="clear-range" onClick={clearRange}>×</button>
    </span>
  );
}

function Legend() {
  const deep = atoms.loss.value.data?.deep.length ?? 0;
  return (
    <span class="legend">
      <span><i class="mark-tick" />snapshot</span>
      {deep > 0 && <span>◆ deep</span>}
      <span><i class="mark-bad">✕</i>not finite</span>
    </span>
  );
}

function LossChart() {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => (host.current ? mountChart(host.current) : undefined), []);
  return <div class="loss-chart" ref={host} data-testid="loss-chart" role="img" aria-label="Loss and metrics by step. Left and right arrow keys move the focus." />;
}

/** Owns the chart: remade when what is drawn changes, fed when data come. The result takes it away. */
function mountChart(host: HTMLElement): () => void {
  let chart: uPlot | null = null;
  const focusLine = marker(host, "focus-line");
  const hoverLine = marker(host, "hover-line");
  const observer = new ResizeObserver(() => chart?.setSize({ width: host.clientWidth, height: host.clientHeight }));
  observer.observe(host);
  const stopMaking = effect(() => {
    const data = atoms.loss.peek().data;
    const names = [...metrics.value];
    const options = { theme: atoms.theme.value, scale: lossScale.value, names };
    chart?.destroy();
    chart = data && host.clientWidth ? makeChart(host, data, options, () => place()) : null;
    chart?.over.append(focusLine, hoverLine);
    place();
  });
  const stopFeeding = effect(() => {
    const { data } = atoms.loss.value;
    void atoms.range.value;
    if (!chart || !data) return;
    chart.setData(table(data, [...metrics.peek()], lossScale.peek()), true);
    place();
  });
  function place(): void {
    position(chart, focusLine, focus.peek());
    position(chart, hoverLine, atoms.hoveredStep.peek());
  }
  const stopFocus = effect(() => position(chart, focusLine, focus.value));
  const stopHover = effect(() => position(chart, hoverLine, atoms.hoveredStep.value));
  probes.lossPoint = (step) => {
    if (!chart) return null;
    const box = chart.over.getBoundingClientRect();
    return { x: box.left + chart.valToPos(step, "x"), y: box.top + box.height / 2 };
  };
  return () => {
    [stopMaking, stopFeeding, stopFocus, stopHover].forEach((stop) => stop());
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

/** uPlot's columns; null where there is nothing to draw, so that neither a gap nor a NaN looks like a zero. */
function table(data: LossHistory, names: readonly string[], scale: atoms.LossScale): uPlot.AlignedData {
  const drawable = (value: number): boolean => Number.isFinite(value) && (scale !== "log" || value > 0);
  const column = (name: string): (number | null)[] => {
    const values = data.values[data.columns.indexOf(name)] ?? new Float64Array();
    return Array.from(values, (value) => (drawable(value) ? value : null));
  };
  return [Array.from(data.step), ...names.map(column)] as uPlot.AlignedData;
}

function domain(data: LossHistory): [number, number] {
  const ends = [data.step[0], data.step.at(-1), data.snapshots[0], data.snapshots.at(-1)].filter((v) => v !== undefined);
  const [low, high] = atoms.range.value ?? [Math.min(...ends), Math.max(...ends)];
  if (!Number.isFinite(low)) return [0, 1];
  // Room at the right, so that the newest step and its marks are not cut in half.
  const room = atoms.range.value ? 0 : Math.max(0.5, (high - low) * 0.006);
  return [low - room, high + room];
}

function makeChart(host: HTMLElement, data: LossHistory, options: { theme: atoms.Theme; scale: atoms.LossScale; names: readonly string[] }, placed: () => void): uPlot {
  const palette = PALETTES[options.theme];
  const axis: uPlot.Axis = { stroke: palette.muted, font: "11px Roboto, 'Segoe UI', system-ui, sans-serif", grid: { stroke: palette.hairline, width: 1 }, ticks: { show: false }, gap: 4 };
  const axisNumbers = (_: uPlot, values: number[]): string[] => values.map((value) => (value === null ? "" : formatValue(value, 3)));
  const distribution = { linear: {}, log: { distr: 3, log: 10 }, symlog: { distr: 4, asinh: threshold(data, options.names) } }[options.scale];
  let pressed = 0;
  const chart = new uPlot({
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
      x: { time: false, range: () => domain(atoms.loss.peek().data ?? data) },
      y: distribution as uPlot.Scale,
    },
    axes: [
      { ...axis, size: 24, space: 80, values: (_, values) => values.map((value) => (Number.isInteger(value) ? formatCount(value) : "")) },
      { ...axis, size: 58, values: axisNumbers, space: 26 },
    ],
    series: [{}, ...options.names.map((name): uPlot.Series => ({ label: name, stroke: colourOf(data, name), width: 1.5, points: { show: false }, spanGaps: !everyStep(data, name) }))],
    hooks: {
      draw: [(u) => drawMarks(u, options.names, options.theme), placed],
      ready: [(u) => {
        u.over.addEventListener("mousedown", (event) => void (pressed = event.clientX));
        u.over.addEventListener("click", (event) => {
          if (Math.abs(event.clientX - pressed) < 4) pinNearest(u.posToVal(event.clientX - u.over.getBoundingClientRect().left, "x"));
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
  }, table(data, options.names, options.scale), host);
  return chart;
}

/** A metric logged at fewer steps than the loss is joined across them; a gap in the loss itself stays a gap. */
function everyStep(data: LossHistory, name: string): boolean {
  const logged = data.logged[data.columns.indexOf(name)];
  return !logged || logged.reduce((sum, flag) => sum + flag, 0) > 0.9 * logged.length;
}

/** Half of the values are drawn on the linear part. */
function threshold(data: LossHistory, names: readonly string[]): number {
  const values = data.values[data.columns.indexOf(names[0] ?? "")] ?? new Float64Array();
  const sizes = values.filter(Number.isFinite).map(Math.abs).sort();
  return sizes[sizes.length >> 1] || 1;
}

/** Snapshot ticks, ◆ for deep ones, ✕ where a logged value was not finite. */
function drawMarks(u: uPlot, names: readonly string[], theme: atoms.Theme): void {
  const data = atoms.loss.peek().data;
  if (!data) return;
  const palette = PALETTES[theme];
  const ratio = uPlot.pxRatio;
  const { left, top, width, height } = u.bbox;
  const bottom = top + height;
  const context = u.ctx;
  const x = (step: number): number => u.valToPos(step, "x", true);
  context.save();
  context.strokeStyle = palette.muted;
  context.fillStyle = palette.text;
  context.lineWidth = ratio;
  let last = -Infinity;
  context.beginPath();
  for (const step of data.snapshots) {
    const at = x(step);
    if (at < left - 1 || at > left + width + 1 || at - last < 2 * ratio) continue;
    last = at;
    context.moveTo(at, bottom - 5 * ratio);
    context.lineTo(at, bottom);
  }
  context.stroke();
  for (const step of data.deep) {
    const at = x(step);
    if (at < left - 1 || at > left + width + 1) continue;
    const size = 4 * ratio;
    context.beginPath();
    for (const [dx, dy] of [[0, -size], [size, 0], [0, size], [-size, 0]] as const) context.lineTo(at + dx, bottom - 10 * ratio + dy);
    context.fill();
  }
  names.forEach((name, row) => {
    const column = data.columns.indexOf(name);
    const [values, logged] = [data.values[column], data.logged[column]];
    if (!values || !logged) return;
    context.strokeStyle = colourOf(data, name);
    context.save();
    let drawn = -Infinity;
    data.step.forEach((step, i) => {
      const at = x(step);
      if (!logged[i] || Number.isFinite(values[i]!) || at < left || at > left + width || at - drawn < 6 * ratio) return;
      drawn = at;
      cross(context, at, top + (7 + 9 * row) * ratio, 3 * ratio);
    });
    context.restore();
  });
  context.restore();
}
