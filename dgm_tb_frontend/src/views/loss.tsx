/** A: loss and metrics of every step. Click sets the focus, dragging brushes a range; ticks mark snapshots. */

import { useEffect, useRef } from "preact/hooks";
import { lossColour } from "../canvas/loss";
import { CAUSE_WORDS } from "../lib/causewords";
import { nearest } from "../lib/axis";
import { formatCount, formatValue } from "../lib/numbers";
import { WORDS } from "../lib/words";
import { clearRange, toggleMetric, toggleWhole } from "../state/actions";
import * as atoms from "../state/atoms";
import { deepSteps } from "../state/answers";
import { focus, lossScale, metrics, programLabel, thinned } from "../state/getters";
import { Segments } from "./control";
import { mountLossChart } from "./losschart";
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

/** `loss/backward#0` is the loss of a program, and called by that. */
function metricLabel(name: string): string {
  const program = name.startsWith("loss/") ? programLabel(name.slice("loss/".length)) : null;
  return program ? `loss of ${program}` : name;
}

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
          <button key={name} type="button" class="chip" aria-pressed={on} data-testid={`metric-${name}`} title={`${on ? "Hide" : "Draw"} ${name}`} onClick={() => toggleMetric(name)}>
            <span class="swatch" style={{ background: lossColour(data.columns, name, atoms.theme.value) }} />
            {metricLabel(name)}
            {on && <b>{logged ? formatValue(data.values[column]![at]!, 4) : "–"}</b>}
          </button>
        );
      })}
    </div>
  );
}

function RangeChip() {
  const range = atoms.range.value;
  if (!range) return <button type="button" class="button" data-testid="whole-run" title={`${WORDS.whole} (W)`} onClick={toggleWhole}>Whole run</button>;
  return (
    <span class="range-chip" data-testid="range">
      {range === atoms.WHOLE ? "Whole run" : `Steps ${formatCount(range[0])} to ${formatCount(range[1])} only`}
      <button type="button" class="icon" aria-label="Show the window around the focus" title="Show the window around the focus (Esc)" data-testid="clear-range" onClick={clearRange}>×</button>
    </span>
  );
}

function Legend() {
  const deep = deepSteps.value.length;
  return (
    <span class="legend">
      <span title="A training step whose activations, gradients and weights were recorded; a click goes to one. Where they are too dense to be told apart, a bar stands for them."><i class="mark-tick" />snapshot</span>
      {thinned.value.length > 0 && <span title={WORDS.thinned} data-testid="thinned-key"><i class="mark-thinned" />thinned</span>}
      {deep > 0 && <span title={`${CAUSE_WORDS.deep} A click on a diamond explains that step.`}><i class="mark-deep">◆</i>deep</span>}
      <span title="The loss was NaN or infinite"><i class="mark-bad">✕</i>not finite</span>
    </span>
  );
}

function LossChart() {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => (host.current ? mountLossChart(host.current) : undefined), []);
  return <div class="loss-chart" ref={host} data-testid="loss-chart" role="img" aria-label="Loss and metrics by step. Left and right arrow keys move the focus." />;
}
