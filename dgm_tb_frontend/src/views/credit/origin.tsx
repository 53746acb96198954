/** Where values ceased to be finite, told by itself at a step whose loss is not. */

import { originWords } from "../../lib/causewords";
import { formatCount } from "../../lib/numbers";
import { chooseDeep, deepSteps, findOrigin, lossAt, origin, to } from "../../state/credit";

export function OriginNote() {
  const [answer, step] = [origin.value, to.value];
  if (step === null) return null;
  if (answer.state === "idle") {
    // A loss that is known to be finite has no such place.
    return lossAt(step) === undefined ? <button type="button" class="button origin-ask" data-testid="origin-ask" onClick={findOrigin}>Is anything not finite at step {formatCount(step)}?</button> : null;
  }
  const found = answer.data;
  const earlier = deepSteps.value.filter((other) => other < step).at(-1);
  const inherited = found?.origin && !found.origin.inputs.length && found.origin.op !== "input";
  return (
    <div class={found && !found.origin ? "cause-origin fine" : "cause-origin"} role="status" data-testid="origin">
      <b>{found && !found.origin ? "Finite" : "Not finite"}</b>
      <span>{answer.state === "failed" ? answer.message : found ? originWords(found.origin, found.step) : `Looking for the first operation at step ${formatCount(step)} whose output is not finite …`}</span>
      {inherited && earlier !== undefined && <button type="button" class="button" data-testid="origin-earlier" onClick={() => chooseDeep(earlier)}>Look at step {formatCount(earlier)}</button>}
    </div>
  );
}
