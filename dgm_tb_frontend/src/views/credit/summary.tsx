/** What is explained, in numbers and words: before, after, the change, and how much of it is accounted for. */

import type { Credit } from "../../api/credit";
import { CAUSE_WORDS, completenessWords, OF, signed, targetName } from "../../lib/causewords";
import { formatCount, formatValue } from "../../lib/numbers";
import { cancelling, completeness } from "../../lib/share";
import { MOST_UNITS } from "../../state/atoms";
import { credited, deepSteps } from "../../state/answers";
import { cause, change, chooseDeep, explained, from, lost, target, to, walkTo } from "../../state/cause";
import { credit, offTape } from "../../state/evidence";

/** Places on the path that are looked at in any case, before it is given up. */
const PATH = 128;

export function Summary() {
  const answer = credited.value;
  const gone = lost.value;
  const reply = credit.value;
  return (
    <div class="cause-summary" data-testid="credit-summary" aria-live="polite">
      {gone !== null && <p class="cause-note">Step {formatCount(gone)} is no deep snapshot any more; the nearest one is shown instead.</p>}
      {reply ? <Numbers reply={reply} /> : <Waiting />}
      {reply === null && answer.state === "running" && <Progress nodes={answer.nodes} />}
      {reply === null && answer.state === "waiting" && <p class="cause-note" data-testid="credit-waiting">{answer.elsewhere ? "Waiting: a question from elsewhere, such as another tab, is being computed." : "Waiting for the question before it."}</p>}
    </div>
  );
}

function Waiting() {
  const [aim, until, since, how] = [target.value!, to.value, from.value, cause.value!];
  if (offTape.value) return <p class="cause-note" data-testid="credit-off">{aim.node} has no units at step {formatCount(until!)}: it was not called there, or is no module. Choose another node, or explain the loss.
    <button type="button" class="button" onClick={() => change({ of: "loss" })}>Explain the loss</button></p>;
  if (how.method === "change" && until !== null && since === null) return (
    <p class="cause-note" data-testid="credit-first">Step {formatCount(until)} is the first deep snapshot: there is no change to explain.
      <button type="button" class="button" data-testid="credit-value" onClick={() => change({ method: "value" })}>Explain its value</button>
      {deepSteps.value[1] !== undefined && <button type="button" class="button" onClick={() => chooseDeep(deepSteps.value[1]!)}>Explain the change to {formatCount(deepSteps.value[1])}</button>}
    </p>
  );
  return <p class="cause-target">{capital(OF[explained.value])}{explained.value === "loss" ? "" : ` of ${targetName(aim.node, aim.units)}`}{until === null ? "" : how.method === "change"
    ? `, from step ${formatCount(since!)} to ${formatCount(until)}` : ` at step ${formatCount(until)}`}</p>;
}

function Progress({ nodes }: { nodes: number }) {
  return (
    <div class="cause-progress" role="progressbar" aria-label="Computing credit" aria-valuemin={0} aria-valuemax={PATH} aria-valuenow={nodes} data-testid="credit-progress">
      <i><b style={{ transform: `scaleX(${Math.max(0.02, Math.min(1, nodes / PATH))})` }} /></i>
      <span>{nodes ? `${formatCount(nodes)} places on the path looked at` : "Reading the deep snapshots"}</span>
    </div>
  );
}

function Numbers({ reply }: { reply: Credit }) {
  const aim = target.value!;
  const delta = reply.after - reply.before;
  const finite = Number.isFinite(delta) && Number.isFinite(reply.gap);
  const complete = completeness(delta, reply.gap);
  const start = reply.previous === null ? "all inputs at zero" : `step ${formatCount(reply.previous)}`;
  return (
    <>
      <dl class="cause-numbers">
        <div><dt>{start}</dt><dd data-testid="credit-before">{formatValue(reply.before, 4)}</dd></div>
        <i aria-hidden="true">→</i>
        <div><dt>step {formatCount(reply.step)}</dt><dd data-testid="credit-after">{formatValue(reply.after, 4)}</dd></div>
        {finite && <div class={delta < 0 ? "delta down" : "delta up"}><dt>{reply.previous === null ? "by the batch" : "change"}</dt><dd data-testid="credit-change">{signed(delta, 3)}</dd></div>}
      </dl>
      <p class="cause-target">{capital(OF[explained.value])}{explained.value === "loss" ? "" : <> of <b>{targetName(aim.node, aim.units)}</b>, over batch and positions</>}
        {finite && <span class={reply.converged ? "complete" : "complete rough"} data-testid="credit-complete" data-converged={reply.converged} title={CAUSE_WORDS.complete}>
          <i aria-hidden="true">{reply.converged ? "✓" : "≈"}</i>{completenessWords(complete, reply.converged, reply.gap, reply.nodes)}</span>}</p>
      {!finite && <Broken reply={reply} />}
      {finite && explained.value !== "loss" && <Cancelling reply={reply} />}
    </>
  );
}

/** A mean hides units that move to both sides: they can be looked at apart. */
function Cancelling({ reply }: { reply: Credit }) {
  const aim = target.value!;
  const found = aim.units.length === 1 ? null : cancelling(reply.units.get(aim.node) ?? new Float32Array(), MOST_UNITS);
  if (!found) return null;
  return (
    <p class="cause-note" data-testid="credit-cancelling">Its units move to both sides and largely cancel in the mean. Look at them apart:
      <button type="button" class="button" data-testid="credit-up" onClick={() => walkTo({ node: aim.node, units: found.up })}>{formatCount(found.up.length)} that go up</button>
      <button type="button" class="button" data-testid="credit-down" onClick={() => walkTo({ node: aim.node, units: found.down })}>{formatCount(found.down.length)} that go down</button>
    </p>
  );
}

/** The target itself is not finite: nothing adds up to that. */
function Broken({ reply }: { reply: Credit }) {
  const earlier = deepSteps.value.filter((step) => step < reply.step).at(-1);
  return (
    <p class="cause-note bad" data-testid="credit-nonfinite">{Number.isFinite(reply.after - reply.before) ? "On the way from one step to the other values are not finite" : `The target is not finite at step ${formatCount(reply.step)}`}: no
      parts add up to that. Explain the last step at which it is:
      {earlier !== undefined && <button type="button" class="button" data-testid="credit-earlier" onClick={() => chooseDeep(earlier)}>◆ {formatCount(earlier)}</button>}
    </p>
  );
}

const capital = (text: string): string => text[0]!.toUpperCase() + text.slice(1);
