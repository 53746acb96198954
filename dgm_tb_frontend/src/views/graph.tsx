/** B: the network as a hierarchical data-flow graph; every node shows its curve around the focus and how far it jumped. */

import { useEffect } from "preact/hooks";
import { formatCount, formatExtent, formatScore, formatSteps, formatValue } from "../lib/numbers";
import { EXTREME } from "../lib/palette";
import * as atoms from "../state/atoms";
import { WORDS } from "../lib/words";
import { callOf, ordinal } from "../lib/names";
import { focus, hierarchy, programLabel, programMark, programOf, programs, scoreOf, span } from "../state/getters";
import { lastAtOrBefore } from "../lib/axis";
import { placement, startPlacement } from "../state/placement";
import { Resolution, Slider } from "./control";
import { Jumps } from "./jumps";
import { Panel } from "./panel";
import { Stage, StageTools } from "./stage";

const WINDOWS = { min: 3, max: 200 };

export function GraphPanel() {
  useEffect(startPlacement, []);
  const count = atoms.graph.value.data?.nodes.filter((node) => node.kind === "module").length ?? 0;
  return (
    <Panel name="graph" title="Network" source={atoms.graph.value.error ? atoms.graph : atoms.aggregates}
      subtitle={count ? <span>{formatCount(count)} modules, {atoms.statistic.value.replaceAll("_", " ")} {atoms.quantity.value.replaceAll("_", " ")}</span> : null}
      tools={<>
        {span.value ? <Resolution source={atoms.aggregates.value.data} /> : <Slider label="Window" name="window" min={WINDOWS.min} max={WINDOWS.max} value={atoms.windowSize.value} shown={`± ${atoms.windowSize.value}`}
          onInput={(value) => (atoms.windowSize.value = value)} />}
        <button type="button" class="button toggle" aria-pressed={atoms.sharedAxis.value} data-testid="shared-axis" title="Draw all nodes on one value axis, to compare their sizes"
          onClick={() => (atoms.sharedAxis.value = !atoms.sharedAxis.value)}>One axis</button>
        <StageTools />
      </>}>
      <div class="graph-columns">
        <div class="graph-main">
          <Stage />
          {atoms.graph.value.data?.nodes.length === 0 && <p class="hint center" data-testid="graph-empty">This run holds no network: none was recorded yet, or its files cannot be read.</p>}
          {programs.value.length > 0 && (
            <div class="program-key" data-testid="program-key">{programs.value.map(([name, label]) => <span key={name}><b class="program">{programMark(name)}</b>{label}</span>)}</div>
          )}
          {placement.value.error && <div class="panel-error over" role="alert">The network could not be laid out: {placement.value.error}</div>}
        </div>
        <Jumps />
      </div>
      <Footer />
    </Panel>
  );
}

/** Legend, and what the pointer is at. */
function Footer() {
  const name = atoms.hoveredNode.value;
  const node = name === null ? null : hierarchy.value?.nodes.get(name);
  return (
    <footer class="panel-foot" data-testid="graph-foot">
      {node ? <NodeWords name={node.name} /> : (
        <span class="legend">
          <span><i class="key-line" />mean</span><span title={WORDS.nodeAxis}><i class="key-band" />min–max of units</span><span title={WORDS.focus}><i class="key-focus" />focus</span>
          <span title={WORDS.jump}><i class="key-heat" />jump z ≥ {EXTREME}</span>
          <span><i class="key-edge" />data</span><span><i class="key-edge residual" />skips layers</span><span><i class="key-edge back" />feeds back</span>
        </span>
      )}
    </footer>
  );
}

function NodeWords({ name }: { name: string }) {
  const node = hierarchy.value!.nodes.get(name)!;
  const score = scoreOf.value.get(name);
  const data = atoms.aggregates.value.data;
  const step = atoms.hoveredStep.value ?? focus.value;
  const at = data && step !== null ? lastAtOrBefore(data.step, step) : -1;
  const row = data && score && at >= 0 ? score.row * data.step.length : -1;
  const [first, last] = data && data.level > 0 ? [at & ~1, at | 1] : [at, at];
  const { name: base, call } = callOf(name);
  const program = programOf(name);
  const facts = [
    call && node.kind === "module" ? `${ordinal(call)} call of ${base}` : "", program ? `charted: ${programMark(program)} ${programLabel(program)}` : "",
    score ? `jump z ${formatScore(score.score)}` : "",
    data && row >= 0 ? `mean ${formatValue(data.mean[row + at]!, 4)}, units ${formatExtent(data.low[row + first]!, data.high[row + last]!)} ${formatSteps(data.step[first]!, data.step[last]!)}` : "",
    score?.nonfinite ? `${data && data.level > 0 ? "up to " : ""}${formatCount(score.nonfinite)} values not finite` : "",
    node.role ? `role: ${node.role}` : "", node.module_type, node.units ? `${formatCount(node.units)} units` : "", node.shape.length ? `output ${node.shape.join("×")}` : "",
    node.parameters ? `${formatCount(node.parameters)} parameters` : "", node.calls > 1 ? `called ${node.calls} times` : "",
  ].filter(Boolean);
  return <span class="node-words"><b>{name}</b> {facts.join(" · ")}</span>;
}

