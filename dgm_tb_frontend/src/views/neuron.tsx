/** The chosen units over the whole recording, one statistic at a time; beneath the layer. */

import { useEffect, useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import { STATISTICS } from "../api/types";
import type { NeuronReply } from "../api/types";
import { extent } from "../canvas/envelope";
import { drawSeries, seriesFrame, stepAt } from "../canvas/neuron";
import { Surface } from "../canvas/surface";
import { lastAtOrBefore, nearest } from "../lib/axis";
import { formatExtent } from "../lib/numbers";
import { CATEGORIES, PALETTES } from "../lib/palette";
import { chooseUnits, pinNearest } from "../state/actions";
import * as atoms from "../state/atoms";
import { focus, node, span } from "../state/getters";
import { retry } from "../state/resource";
import { Resolution, Segments } from "./control";

const LABELS = { mean: "Mean", std: "Std", min: "Min", max: "Max", zero_fraction: "Zeros", nonfinite: "NaN" } as const;
const TITLES = { mean: "Mean over batch and space", std: "Standard deviation", min: "Least value", max: "Greatest value", zero_fraction: "Share of exact zeros", nonfinite: "How many values were NaN or infinite" } as const;
/** Chips shown before they are counted only. */
const CHIPS = 8;

export function NeuronStrip() {
  const units = atoms.chosenUnits.value;
  const { data, error } = atoms.neuron.value;
  if (!units.length) return null;
  const colours = CATEGORIES[atoms.theme.value];
  const row = data ? data.statistics.indexOf(atoms.seriesStatistic.value) : -1;
  const step = atoms.hoveredStep.value ?? focus.value;
  const valueOf = (unit: number): string => {
    const place = data?.units.indexOf(unit) ?? -1;
    return data && step !== null && place >= 0 && row >= 0 ? seriesValue(data, place * data.statistics.length + row, step) : "";
  };
  return (
    <section class="strip" data-testid="neuron" aria-label="Chosen units over the whole recording">
      <header class={units.length > 1 || (data && data.level > 0) ? "many" : ""}>
        <h3>{units.length === 1 ? "Unit" : `${units.length} units`}{node.value?.role && <small data-testid="strip-role"> of {node.value.role}</small>}</h3>
        <div class="unit-chips">
          {units.slice(0, CHIPS).map((unit, order) => (
            <button key={unit} type="button" class="chip unit" data-testid={`unit-${unit}`} title={`Take unit ${unit} away`} onClick={() => chooseUnits([unit], true)}
              onMouseEnter={() => (atoms.hoveredUnit.value = unit)} onMouseLeave={() => (atoms.hoveredUnit.value = null)}>
              <span class="swatch" style={{ background: colours[order % colours.length] }} />{unit}<b>{valueOf(unit)}</b>
            </button>
          ))}
          {units.length > CHIPS && <small class="muted">and {units.length - CHIPS} more</small>}
        </div>
        <Segments label="Statistic of the series" name="series" value={atoms.seriesStatistic.value} onChange={(value) => (atoms.seriesStatistic.value = value)}
          options={STATISTICS.map((value) => ({ value, label: LABELS[value], title: TITLES[value] }))} />
        <button type="button" class="icon" aria-label="Choose no unit" data-testid="clear-units" title="Choose no unit (Esc)" onClick={() => chooseUnits([], false)}>×</button>
      </header>
      <SeriesChart />
      {data && data.level > 0 && <div class="strip-resolution"><Resolution source={data} /></div>}
      {error && <div class="panel-error over" role="alert"><span>{error}</span><button type="button" class="button" onClick={() => retry(atoms.neuron)}>Try again</button></div>}
    </section>
  );
}

/** A unit's value at a step, or what it was at least and at most in the point that covers it; `row` of the reply's values. */
function seriesValue(data: NeuronReply, row: number, step: number): string {
  const at = data.level > 0 ? Math.max(0, lastAtOrBefore(data.step, step)) : nearest(data.step, step);
  const base = row * data.step.length;
  if (at < 0) return "";
  if (data.level > 0) return formatExtent(...extent(data.values, base + (at & ~1), base + (at | 1)));
  return formatExtent(data.values[base + at]!, data.values[base + at]!);
}

function SeriesChart() {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const surface = new Surface(host.current!, (s, context) => {
      const reply = atoms.neuron.peek().data;
      if (!reply) return;
      drawSeries(context, s.width, s.height, {
        reply, units: atoms.chosenUnits.peek(), statistic: atoms.seriesStatistic.peek(), scale: atoms.scale.peek(), range: span.peek(), focus: focus.peek(),
        hoveredStep: atoms.hoveredStep.peek(), hoveredUnit: atoms.hoveredUnit.peek(), palette: PALETTES[atoms.theme.peek()], colours: CATEGORIES[atoms.theme.peek()],
      });
    });
    const stop = effect(() => {
      void [atoms.neuron.value, atoms.chosenUnits.value, atoms.seriesStatistic.value, atoms.scale.value, span.value, focus.value, atoms.hoveredStep.value,
        atoms.hoveredUnit.value, atoms.theme.value];
      surface.invalidate();
    });
    return () => (stop(), surface.dispose());
  }, []);
  const step = (event: MouseEvent): number | null => {
    const reply = atoms.neuron.value.data;
    const box = host.current!.getBoundingClientRect();
    return reply && stepAt(reply, span.value, seriesFrame(box.width, box.height), event.clientX - box.left);
  };
  return (
    <div class="series-chart" ref={host} data-testid="series-chart" role="img" aria-label="Series of the chosen units by step; click sets the focus"
      onMouseMove={(event) => (atoms.hoveredStep.value = step(event))} onMouseLeave={() => (atoms.hoveredStep.value = null)}
      onClick={(event) => { const at = step(event); if (at !== null) pinNearest(at); }} />
  );
}
