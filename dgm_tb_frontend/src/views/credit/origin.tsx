/** Where values ceased to be finite and whose values drove them there: in panel D, and beneath the loss while that is closed. */

import type { Origin } from "../../api/credit";
import { driverWords, originWords, targetName, triedWords } from "../../lib/causewords";
import { formatCount } from "../../lib/numbers";
import { pinNearest } from "../../state/actions";
import { broke, contents, deepList, deepSteps, lossAt, origin, trial } from "../../state/answers";
import { cause, chooseDeep, target, to, whyDriver } from "../../state/cause";
import { failure, findOrigin, problem, retryOrigin, tryOut } from "../../state/evidence";
import { proposal } from "../../state/proposal";
import { TEST } from "./trial";

/** Beneath the loss: that it is not finite somewhere, and once that step is in focus, what happened in it. */
export function Failure() {
  const found = failure.value;
  if (!found || cause.value) return null;
  const { step, here, deep } = found;
  if (here && deep && to.value === step) return <Told step={step} go={pinNearest} />;
  const before = here && deepList.value.data ? deepSteps.value.filter((other) => other < step).at(-1) : undefined;
  return (
    <div class="cause-origin" role="status" data-testid="failure">
      <b>Not finite</b>
      <span>The loss was NaN or infinite at step {formatCount(step)}{here ? "" : " for the first time"}.{deep || !here || !deepList.value.data ? "" : ` This step is no deep snapshot, so what broke in it cannot be told; the layers that jumped into it are listed.${
        before === undefined ? "" : ` The last deep snapshot before it is of step ${formatCount(before)}.`}`}</span>
      {!here && <button type="button" class="button primary" data-testid="failure-show" onClick={() => pinNearest(step)}>What happened at step {formatCount(step)}?</button>}
      {before !== undefined && <button type="button" class="button" data-testid="failure-before" onClick={() => pinNearest(before)}>Go to step {formatCount(before)}</button>}
    </div>
  );
}

/** In panel D. */
export function OriginNote() {
  const step = to.value;
  if (step === null || (origin.value.state === "failed" && problem.value !== null)) return null;
  if (origin.value.state !== "idle") return <Told step={step} go={chooseDeep} />;
  // A loss that is known to be finite has no such place.
  return lossAt(step) === undefined ? <button type="button" class="button origin-ask" data-testid="origin-ask" onClick={findOrigin}>Is anything not finite at step {formatCount(step)}?</button> : null;
}

function Told({ step, go }: { step: number; go: (step: number) => void }) {
  const answer = origin.value;
  const found = answer.data;
  // Where it broke first, if that step was kept.
  const earlier = deepSteps.value.filter((other) => other < step).reverse().sort((a, b) => Number(b === broke.value) - Number(a === broke.value))[0];
  const inherited = found?.origin && !found.origin.inputs.length && found.origin.op !== "input";
  const fine = found !== null && !found.origin;
  return (
    <div class={fine ? "cause-origin fine" : "cause-origin"} role="status" data-testid="origin" data-state={answer.state}>
      <b>{fine ? "Finite" : answer.state === "failed" ? "Not known" : "Not finite"}</b>
      <span>{answer.state === "failed" ? answer.message : found ? originWords(found.origin, found.step) : answer.elsewhere
        ? "Waiting: a question from elsewhere, such as another tab, is being computed." : `Looking for the first operation at step ${formatCount(step)} whose output is not finite …`}
        {found?.origin?.driver && <em data-testid="origin-driven">{driverWords(found.origin.driver)}</em>}</span>
      {found?.origin && <Drive origin={found.origin} />}
      {inherited && earlier !== undefined && <button type="button" class="button primary" data-testid="origin-earlier" onClick={() => go(earlier)}>Look at step {formatCount(earlier)}</button>}
      {answer.state === "failed" && <button type="button" class="button" data-testid="origin-retry" onClick={retryOrigin}>Try again</button>}
    </div>
  );
}

/** From what broke to who did it, and from there to the test of it. */
function Drive({ origin: { driver } }: { origin: Origin }) {
  if (!driver) return null;
  const [aim, units] = [target.value, [...driver.units].sort((a, b) => a - b)];
  if (cause.value && aim?.node === driver.node && JSON.stringify(aim.units) === JSON.stringify(units)) return <Propose />;
  return <button type="button" class="button primary" data-testid="origin-driver" title={`Credit for ${targetName(driver.node, driver.units)}`} onClick={() => whyDriver({ ...driver, units })}>
    Why? · {driver.node}{units.length === 1 ? `, unit ${units[0]}` : units.length ? `, ${units.length} units` : ""}</button>;
}

function Propose() {
  const next = proposal.value;
  if (!next || !contents.value.data || trial.value) return null;
  const run = (): void => {
    tryOut(next);
    document.getElementById(TEST)?.scrollIntoView({ block: "center", behavior: matchMedia("(prefers-reduced-motion: reduce)").matches ? "auto" : "smooth" });
  };
  return <button type="button" class="button primary" data-testid="origin-test" title={`${triedWords(next)}, run step ${formatCount(next.step)} again`} onClick={run}>Test it: clamp {next.at}</button>;
}
