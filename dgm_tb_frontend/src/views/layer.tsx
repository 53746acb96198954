/** C: the units of one layer as sampled lines; hover names a unit, click and lasso choose some, outliers are listed. */

import { useEffect, useRef } from "preact/hooks";
import type { Quantity } from "../api/types";
import { batch } from "@preact/signals";
import { jumped } from "../canvas/layer";
import { formatCount, formatScore } from "../lib/numbers";
import { EXTREME } from "../lib/palette";
import { chooseNode } from "../state/actions";
import * as atoms from "../state/atoms";
import { layerGap, node, programLabel, programMark, thinned } from "../state/getters";
import { Slider } from "./control";
import { dragged, mountLayerChart, prefix } from "./layerchart";
import { NeuronStrip } from "./neuron";
import { resolution, WORDS } from "../lib/words";
import { Outliers } from "./outliers";
import { Panel } from "./panel";

const BUDGET = { min: 20, max: 2000, step: 20 };

export function LayerPanel() {
  const chosen = atoms.chosenNode.value;
  const reply = atoms.layer.value.data;
  if (chosen === null) return <Panel name="layer" title="Layer"><Invitation /></Panel>;
  const outliers = reply ? reply.outlier.subarray(0, prefix.value).reduce((sum, flag) => sum + flag, 0) : 0;
  const jumps = reply ? Array.from({ length: prefix.value }, (_, line) => jumped(reply, line)).filter(Boolean).length : 0;
  const recorded = layerGap.value === null;
  const program = reply && programMark(reply.program) ? ` · ${programMark(reply.program)} ${programLabel(reply.program)}` : "";
  const kind = [node.value?.role, node.value?.module_type].filter(Boolean).join(" · ");
  return (
    <Panel name="layer" title={chosen} source={recorded ? atoms.layer : undefined!}
      subtitle={<span data-testid="layer-count">
        {reply ? <>{formatCount(prefix.value)} of {formatCount(reply.units)} units{counted(outliers, "outlier", "outlier-text")}{counted(jumps, "jump", "hot-text")}</> : recorded ? "…" : "nothing to show"}
        {" · "}{kind}{program}
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
      </> : <Gap />}
    </Panel>
  );
}

/** The chosen node has nothing to show, and what would change that. */
function Gap() {
  const words = (name: string): string => name.replaceAll("_", " ");
  const has = node.value?.quantities ?? [];
  if (layerGap.value === "program") return (
    <div class="hint center" data-testid="layer-gap">
      <p>{node.value?.name} takes no part in {programMark(atoms.program.value!)} {programLabel(atoms.program.value!)}. It runs in {(node.value?.programs ?? []).map((name) => `${programMark(name)} ${programLabel(name)}`).join(" and ")}.</p>
      {(node.value?.programs ?? []).slice(0, 3).map((name) => <button key={name} type="button" class="button" onClick={() => (atoms.program.value = name)}>Show {programMark(name)}</button>)}
    </div>
  );
  return (
    <div class="hint center" data-testid="layer-gap">
      <p>{node.value?.name} ({node.value?.module_type}) has no {words(atoms.quantity.value)}{node.value?.parameters ? "" : ": it has no parameters"}. {has.length ? "It records" : "It records nothing."}</p>
      {has.map((name) => <button key={name} type="button" class="button" onClick={() => (atoms.quantity.value = name as Quantity)}>{words(name)}</button>)}
    </div>
  );
}

function counted(count: number, noun: string, style: string) {
  return count ? <>, <b class={style}>{formatCount(count)} {noun}{count === 1 ? "" : "s"}</b></> : null;
}

/** What the lines mean, and what can be done with them. */
function Footer() {
  const reply = atoms.layer.value.data;
  const crowded = (reply?.units ?? 0) > prefix.value;
  const summed = reply && reply.level > 0 ? reply : null;
  return (
    <footer class="panel-foot">
      <span class="legend">
        <span title="A line stands for one unit and those that run alike; the more it stands for, the stronger it is"><i class="key-line" />units, by weight</span>
        <span title={WORDS.unitJump}><i class="key-line hot" />jump z ≥ {formatScore(reply?.extreme ?? EXTREME)}</span><span title={WORDS.outlier}><i class="key-line outlier" />outlier</span>
        {summed && <span title={WORDS.point} data-testid="layer-resolution"><i class="key-envelope" />{resolution(summed, thinned.value.length > 0)}</span>}
        {crowded && <span title="How many of the layer's units pass a place, also those that are not drawn as lines"><i class="key-density" />{summed ? "density" : "density of all units"}</span>}
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
  useEffect(() => mountLayerChart(host.current!, tip.current!), []);
  return (
    <div class="layer-chart" ref={host} data-testid="layer-chart" role="img"
      aria-label="Lines of the layer's units over the snapshots around the focus. The list of outliers beside it says the same in words.">
      <div class="tip" ref={tip} data-testid="layer-tip" hidden />
    </div>
  );
}
