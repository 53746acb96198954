/** D: who did this? Layers before and after the chosen units, weights, inputs and samples, and whether undoing them helps. */

import { useEffect, useRef } from "preact/hooks";
import { targetName } from "../../lib/causewords";
import { formatCount } from "../../lib/numbers";
import * as atoms from "../../state/atoms";
import { broken, contents, credited, deepList, deepSteps } from "../../state/answers";
import { cause, closeCause, from, jumpers, target, to, why } from "../../state/cause";
import { offTape, problem, retryCredit } from "../../state/evidence";
import { layerGap } from "../../state/getters";
import { Balance } from "./balance";
import { Flow } from "./flow";
import { Steps } from "./steps";
import { OriginNote } from "./origin";
import { Samples } from "./samples";
import { Save } from "./save";
import { Summary } from "./summary";
import { Test } from "./trial";
import { Trail } from "./trail";

export function CreditPanel() {
  if (atoms.chosenNode.value === null) return null;
  return cause.value ? <Open /> : <Closed />;
}

/** One line: what would be explained. */
function Closed() {
  const aim = target.value!;
  const found = aim.units.length || layerGap.value ? aim.units : (void atoms.layer.value, jumpers());
  const jumped = !aim.units.length && found.length > 0;
  const none = deepList.value.data && !deepSteps.value.length;
  return (
    <section class="panel panel-credit closed" data-testid="panel-credit" aria-label="Cause">
      <button type="button" class="why" data-testid="why" onClick={why}>
        <h2>Why?</h2>
        <span>{none ? "This run has no deep snapshot" : <>Credit for {targetName(aim.node, found)}{jumped ? ", which jumped" : ""}{from.value !== null && to.value !== null
          ? `: its change from step ${formatCount(from.value)} to ${formatCount(to.value)}` : ""}</>}</span>
        <i aria-hidden="true">▾</i>
      </button>
    </section>
  );
}

function Open() {
  const section = useRef<HTMLElement>(null);
  useEffect(() => section.current?.scrollIntoView?.({ block: "start", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" }), []);
  const answer = credited.value;
  const none = deepList.value.data !== null && !deepSteps.value.length;
  const failed = problem.value !== null && answer.data === null;
  const busy = answer.state === "waiting" || answer.state === "running" || answer.state === "idle";
  const stale = answer.data !== null && answer.dataKey !== answer.key;
  return (
    <section class={none ? "panel panel-credit bare" : "panel panel-credit"} data-testid="panel-credit" aria-label="Cause" aria-busy={busy} ref={section}>
      <header class="panel-head">
        <h2>Cause</h2>
        <Trail />
        <div class="panel-tools">
          {!none && <Steps />}
          {!none && <Save />}
          <button type="button" class="icon" aria-label="Close the cause" title="Close (Esc)" data-testid="credit-close" onClick={closeCause}>×</button>
        </div>
      </header>
      {none ? <NoDeep /> : (
        <>
          <Summary />
          <OriginNote />
          {problem.value !== null && (
            <div class="cause-failed" role="alert" data-testid="credit-failed">
              <span>{problem.value}</span>
              <button type="button" class="button" data-testid="credit-retry" onClick={retryCredit}>Try again</button>
            </div>
          )}
          <div class={stale ? "cause-body stale" : "cause-body"}>
            {!failed && !broken.value && !offTape.value && <Flow />}
            <div class="cause-columns">
              {!failed && !broken.value && !offTape.value && <><Balance /><Samples /></>}
              {contents.value.data && <Test />}
            </div>
          </div>
        </>
      )}
    </section>
  );
}

/** Why there is nothing to explain with, and what changes that. */
function NoDeep() {
  const reason = deepList.value.data?.reason;
  return (
    <div class="hint center" data-testid="no-deep">
      {reason && <p class="reason" data-testid="no-deep-reason">{reason}</p>}
      <p>This run has no deep snapshot. Credit needs the weights, the batch and the computation of a step, which the recorder keeps now and then: at steps that lie
        ever farther apart, for the last few, and around a warning. It keeps none where it was switched off, where a step is too large for its share of the disk,
        or where a step could not be recorded (the training’s log says which).</p>
      <p>To keep one regularly: <code>DynamicsMonitor(deep_every_n_steps=500)</code></p>
    </div>
  );
}
