/** The nodes that jumped most into the focus, so that a failing layer is seen without looking for it. */

import { formatCount, formatScore } from "../lib/numbers";
import { EXTREME, heatOf } from "../lib/palette";
import { revealNode } from "../state/actions";
import * as atoms from "../state/atoms";
import { WORDS } from "../lib/words";
import { focus, namePrefix, ranking } from "../state/getters";
import { Minimap } from "./minimap";

const LISTED = 24;

export function Jumps() {
  const list = ranking.value.filter((entry) => !Number.isNaN(entry.score) || entry.nonfinite > 0).slice(0, LISTED);
  const extreme = list.filter((entry) => entry.broke || entry.score >= EXTREME).length;
  const step = focus.value;
  const top = Math.max(EXTREME, ...list.map((entry) => entry.score).filter(Number.isFinite));
  const share = (score: number): number => (Number.isNaN(score) ? 0 : Number.isFinite(score) ? Math.log1p(Math.max(0, score)) / Math.log1p(top) : 1);
  return (
    <aside class="jumps" data-testid="jumps" aria-label="Biggest jumps at this step">
      <h3 title={WORDS.jump}>Biggest jumps</h3>
      <p class="muted">{step === null ? "no snapshot yet" : <>into step {formatCount(step)}{extreme ? <>, <b class="hot-text">{extreme} extreme</b></> : ", none extreme"}</>}</p>
      <ol>
        {list.map(({ node, score, nonfinite, broke }, index) => (
          <li key={node}>
            <button type="button" class={broke ? "jump broke" : score >= EXTREME ? "jump hot" : "jump"} data-testid={`jump-${index}`} data-node={node} aria-current={atoms.chosenNode.value === node}
              title={`${node}: ${broke ? "first values that are not finite, " : ""}jump z ${formatScore(score)}${score < 0 ? ", less than usual" : ""}${nonfinite ? `, ${formatCount(nonfinite)} values not finite` : ""}`}
              onClick={() => revealNode(node)} onMouseEnter={() => (atoms.hoveredNode.value = node)} onMouseLeave={() => (atoms.hoveredNode.value = null)}>
              <span class="jump-name"><bdi>{node.startsWith(namePrefix.value) ? node.slice(namePrefix.value.length) : node}</bdi></span>
              {nonfinite > 0 && <span class="bad-mark" title="values not finite">✕</span>}
              <span class="jump-score">{broke ? "NaN" : score < 0 ? "< 0" : formatScore(score)}</span>
              <span class="jump-bar"><i style={{ width: `${Math.round((broke ? 1 : share(score)) * 100)}%`, opacity: 0.35 + 0.65 * heatOf(broke ? Infinity : score) }} /></span>
            </button>
          </li>
        ))}
      </ol>
      {!list.length && step !== null && <p class="muted">A jump is told from the snapshots around it; a few more are needed.</p>}
      <Minimap />
    </aside>
  );
}
