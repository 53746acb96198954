/** "Test this cause": runs the step again with something undone or forced, and says what becomes of target and loss. */

import { useState } from "preact/hooks";
import type { ChangeKind } from "../../api/credit";
import { outcomeWords, percent, type Tried, triedWords, verdict } from "../../lib/causewords";
import { formatCount, formatValue } from "../../lib/numbers";
import { contents, credited, lossAt, outcome, ranked, trial } from "../../state/answers";
import { explained, from, target, to } from "../../state/cause";
import { tryOut } from "../../state/evidence";
import { CLAMP, recordedRange } from "../../state/proposal";
import { Segments } from "../control";

/** Where the page goes when the proposed test is run from elsewhere. */
export const TEST = "credit-test";

/** Samples that are put back. */
const TOP = 4;

const KINDS: readonly { readonly value: ChangeKind; readonly label: string; readonly title: string }[] = [
  { value: "clamp", label: "Clamp", title: "Keep the layer’s output within a range" },
  { value: "restore-units", label: "Units", title: "The units as the earlier step’s weights make them of this batch" },
  { value: "restore-weights", label: "Weights", title: "The layer’s weights as they were at the earlier step" },
  { value: "restore-samples", label: "Samples", title: "The samples that show it most, put back to those of the earlier step’s batch" },
];

/** How much of the target's change goes through a layer, to choose by. */
function through(node: string): string {
  const reply = credited.value.data;
  const parts = node === target.value?.node ? undefined : reply?.units.get(node);
  const sum = parts?.reduce((total, part) => total + part, 0) ?? 0;
  return reply && sum !== 0 && Number.isFinite(sum) ? ` · ${percent(sum, reply.after - reply.before)}` : "";
}

export function Test() {
  const [aim, step, previous] = [target.value!, to.value, from.value];
  const [change, setChange] = useState<ChangeKind>("clamp");
  const [chosen, setAt] = useState<string | null>(null);
  const [typed, setRange] = useState<readonly [string | null, string | null]>([null, null]);
  const at = chosen ?? aim.node;
  const own = at === aim.node;
  const range = own ? recordedRange.value ?? CLAMP : CLAMP;
  const [low, high] = typed.map((text, k) => Number(text ?? range[k])) as [number, number];
  const of = change === "restore-samples" ? [...ranked.value.abnormal.slice(0, TOP)].sort((a, b) => a - b) : own && change === "restore-units" ? aim.units : [];
  const nodes = [...new Set(Object.values(contents.value.data?.contents?.nodes ?? {}).flat())];
  const restores = change !== "clamp";
  const problem = restores && previous === null ? "There is no deep snapshot before to restore from" : !restores && !(low < high) ? "The first must be the lower" : null;
  const next: Tried | null = step === null ? null : { change, at, of, low, high, step, previous };
  const [result, state] = [outcome.value.data, outcome.value.state];
  const before = trial.value?.previous ?? null;
  const usual = before === null ? undefined : lossAt(before);
  return (
    <section class="cause-card test" id={TEST} data-testid="credit-test" aria-label="Test this cause">
      <h3>Test this cause</h3>
      <Segments label="What is changed" name="change" value={change} onChange={setChange} options={KINDS} />
      {change !== "restore-samples" && (
        <label class="choice"><span>{change === "clamp" ? "Clamp" : "of"}</span>
          <select data-testid="test-at" value={at} onChange={(event) => (setAt(event.currentTarget.value), setRange([null, null]))}>
            {(nodes.includes(at) ? nodes : [at, ...nodes]).map((name) => <option key={name} value={name}>{name}{through(name)}</option>)}
            {change === "restore-weights" && <option value="">the whole model</option>}
          </select>
        </label>
      )}
      {change === "clamp" && (
        <div class="range">
          {([0, 1] as const).map((k) => (
            <label key={k} class="choice"><span>{k ? "to" : "to within"}</span>
              <input type="number" step="any" data-testid={k ? "test-high" : "test-low"} value={typed[k] ?? range[k]} onInput={(event) => setRange(k ? [typed[0], event.currentTarget.value] : [event.currentTarget.value, typed[1]])} /></label>
          ))}
          {own && range !== CLAMP && typed.every((text) => text === null) && <small>as {aim.units.length ? "the chosen units were" : "it was"} at step {formatCount(previous ?? 0)}</small>}
        </div>
      )}
      {next && <p class="muted">{triedWords(next)}, run step {formatCount(next.step)} again.</p>}
      <button type="button" class="button primary" data-testid="test-run" disabled={!next || problem !== null || state === "running" || state === "waiting"} title={problem ?? undefined} onClick={() => next && tryOut(next)}>
        {state === "waiting" ? (outcome.value.elsewhere ? "Waits for another tab …" : "Waits for the credit …") : state === "running" ? "Running …" : "Run it again"}</button>
      {problem && <p class="muted">{problem}.</p>}
      <div aria-live="polite">
        {state === "failed" && <p class="verdict refuted" role="alert" data-testid="test-failed">{outcome.value.message}</p>}
        {result && trial.value && (
          <div class={`verdict ${verdict(result)}`} data-testid="test-result" data-verdict={verdict(result)}>
            <p>{outcomeWords(trial.value, result, usual)}</p>
            <table><tbody>
              <tr><th scope="row">loss</th><td>{number(result.loss_before)}</td><td>→</td><td><b>{number(result.loss_after)}</b></td></tr>
              {usual !== undefined && <tr><th scope="row">at step {formatCount(trial.value.previous!)}</th><td colSpan={3}>{formatValue(usual, 4)}</td></tr>}
              {explained.value !== "loss" && <tr><th scope="row">target</th><td>{number(result.target_before)}</td><td>→</td><td><b>{number(result.target_after)}</b></td></tr>}
            </tbody></table>
          </div>
        )}
      </div>
    </section>
  );
}

const number = (value: number | null): string => (value === null ? "✕ not finite" : formatValue(value, 4));
