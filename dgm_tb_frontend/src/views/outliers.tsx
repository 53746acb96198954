/** The layer's outliers in words: unit, jump, how many it stands for; a row and its line point at each other. */

import { signal } from "@preact/signals";
import { jumped } from "../canvas/layer";
import { formatCount, formatScore } from "../lib/numbers";
import { WORDS } from "../lib/words";
import { chooseUnits } from "../state/actions";
import * as atoms from "../state/atoms";
import { Segments } from "./control";

const LISTED = 200;
const JUMPS = 50;

/** What the list holds: lines unlike all others, or units that jumped most into the focus; null: jumps if any is extreme. */
const listing = signal<"outliers" | "jumps" | null>(null);

export function Outliers({ prefix }: { prefix: number }) {
  const reply = atoms.layer.value.data;
  if (!reply) return <aside class="outliers" />;
  const rank = (line: number): number => (Number.isNaN(reply.score[line]!) ? -1 : reply.score[line]!);
  const all = Array.from({ length: Math.min(prefix, reply.drawn) }, (_, line) => line);
  const outliers = all.filter((line) => reply.outlier[line]);
  const jumps = all.filter((line) => jumped(reply, line));
  const kind = listing.value ?? (jumps.length || !outliers.length ? "jumps" : "outliers");
  const marked = kind === "outliers" ? outliers : jumps;
  const list = (kind === "outliers" ? outliers : all).sort((a, b) => rank(b) - rank(a)).slice(0, kind === "outliers" ? LISTED : JUMPS);
  const chosen = new Set(atoms.chosenUnits.value);
  return (
    <aside class="outliers" data-testid="outliers" aria-label={kind === "outliers" ? "Outliers" : "Units with the biggest jumps"}>
      <Segments label="List" name="list" value={kind} onChange={(value) => (listing.value = value)} options={[
        { value: "outliers", label: "Outliers", title: WORDS.outlier },
        { value: "jumps", label: "Jumps", title: `The ${JUMPS} drawn units that jumped most into the focus` },
      ]} />
      <div class="outliers-scroll">
        <table>
          <thead><tr><th>unit</th><th title={WORDS.unitJump}><abbr title={WORDS.unitJump}>jump z</abbr></th><th title={WORDS.standsFor}><abbr title={WORDS.standsFor}>units</abbr></th></tr></thead>
          <tbody>
            {list.map((line) => {
              const unit = reply.unit[line]!;
              const score = reply.score[line]!;
              return (
                <tr key={unit} class={`${chosen.has(unit) ? "chosen" : ""}${atoms.hoveredUnit.value === unit ? " hovered" : ""}`} data-testid={`outlier-${unit}`}
                  onMouseEnter={() => (atoms.hoveredUnit.value = unit)} onMouseLeave={() => (atoms.hoveredUnit.value = null)}>
                  <td><button type="button" aria-pressed={chosen.has(unit)} onClick={(event) => chooseUnits([unit], event.shiftKey)}>{unit}{reply.nonfinite[line] ? <span class="bad-mark" title="not finite in the window">✕</span> : null}</button></td>
                  <td class={jumped(reply, line) ? "hot-text" : ""}>{formatScore(score)}</td>
                  <td>{formatCount(reply.weight[line]!)}</td>
                </tr>
              );
            })}
          </tbody>
        </table>
      </div>
      {kind === "outliers" && !list.length && <p class="muted note">Every line has others like it.</p>}
      {marked.length > 1 && <button type="button" class="button wide" data-testid="choose-outliers" title={kind === "jumps" ? `Those with a jump z of at least ${formatScore(reply.extreme)}` : undefined} onClick={() => chooseUnits(marked.map((line) => reply.unit[line]!), false)}>Choose all {Math.min(marked.length, atoms.MOST_UNITS)}</button>}
    </aside>
  );
}
