/** Of what and between which deep steps the cause is looked for. */

import type { Of } from "../../api/credit";
import { CAUSE_WORDS } from "../../lib/causewords";
import { formatCount } from "../../lib/numbers";
import { deepSteps } from "../../state/answers";
import { cause, change, chooseDeep, explained, from, to } from "../../state/cause";
import { Choice, Segments } from "../control";

export function Steps() {
  const how = cause.value!;
  const steps = deepSteps.value;
  const [since, until] = [from.value, to.value];
  const named = (list: readonly number[]) => list.map((step) => ({ value: String(step), label: `◆ ${formatCount(step)}` }));
  return (
    <>
      <Choice label="Of" name="credit-of" value={explained.value} onChange={(value: Of) => change({ of: value })} title="What of these units is explained"
        options={[{ value: "activation", label: "activation" }, { value: "gradient", label: "gradient" }, { value: "loss", label: "the loss" }]} />
      <Segments label="Method" name="method" value={how.method} onChange={(method) => change({ method })} options={[
        { value: "change", label: "Change", title: CAUSE_WORDS.credit }, { value: "value", label: "Value", title: CAUSE_WORDS.value },
      ]} />
      {how.method === "change" && since !== null && (
        <Choice label="from" name="credit-from" value={String(since)} title={CAUSE_WORDS.deep} onChange={(value) => change({ from: Number(value) })}
          options={named(steps.filter((step) => until === null || step < until))} />
      )}
      {until !== null && <Choice label={how.method === "change" ? "to" : "at"} name="credit-to" value={String(until)} title={CAUSE_WORDS.deep}
        onChange={(value) => chooseDeep(Number(value))} options={named(steps)} />}
      {how.method === "change" && (
        <Segments label="Batch" name="batch" value={how.batch} onChange={(batch) => change({ batch })} options={[
          { value: "own", label: "Own batches", title: CAUSE_WORDS.own }, { value: "same", label: "Same batch", title: CAUSE_WORDS.same },
        ]} />
      )}
    </>
  );
}
