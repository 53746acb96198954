/** What is fetched when of the neuron level, and what follows from the question and its answers together. */

import { batch, computed, effect, signal } from "@preact/signals";
import { type Credit, fetchCredit, fetchDeep, fetchOrigin, fetchReplay, fetchSample } from "../api/credit";
import type { Params } from "../api/client";
import type { Tried } from "../lib/causewords";
import { imageShape, type ImageShape } from "../lib/patch";
import { broke, contents, credited, deepList, deepSteps, lossAt, onward, origin, outcome, pictures, ranked, trial } from "./answers";
import { again, current, forget, give, pursue, unasked } from "./asking";
import * as atoms from "./atoms";
import { cause, dropTrail, explained, followFocus, from, target, to } from "./cause";
import { focus, run } from "./getters";
import { ask, clear, retry } from "./resource";

/** Credit for what is asked now. */
export const credit = computed<Credit | null>(() => current(credited.value));

/** What the tape at `to` holds; null until that is known. */
const tape = computed(() => (contents.value.data?.contents?.step === to.value ? contents.value.data?.contents ?? null : null));

/** Whether the chosen node has no units on that tape: it was not called at that step, or is no module. */
export const offTape = computed(() => {
  const node = target.value?.node;
  return tape.value !== null && explained.value !== "loss" && node !== undefined && !Object.values(tape.value.nodes).some((nodes) => nodes.includes(node));
});

/** Why there is no answer to what is asked now; null where there is one, or one to come. */
export const problem = computed<string | null>(() => (credited.value.state === "failed" ? credited.value.message : contents.value.error ?? deepList.value.error));

export const inputs = computed(() => tape.value?.inputs ?? []);

/** The batch's tensor that is drawn as images. */
export const imageInput = computed<{ readonly key: string; readonly name: string; readonly shape: ImageShape } | null>(() => {
  for (const { key, name, shape } of inputs.value) {
    const image = imageShape(shape);
    if (image) return { key, name, shape: image };
  }
  return null;
});

/** A step whose loss is not finite: the focus, if it is one and was chosen, else the first of the run; null without any. */
export const failure = computed<{ readonly step: number; readonly here: boolean; readonly deep: boolean } | null>(() => {
  const at = atoms.pinned.value === null ? null : focus.value;
  const loss = at === null ? undefined : lossAt(at);
  const step = loss !== undefined && !Number.isFinite(loss) ? at : broke.value;
  return step === null ? null : { step, here: step === at, deep: deepSteps.value.includes(step) };
});

// What is fetched when ------------------------------------------------------------------------------------------------

const question = (...parts: readonly unknown[]): string => JSON.stringify(parts);
const alikeRun = (a: string, b: string): boolean => a !== "" && b !== "" && (JSON.parse(a) as unknown[])[0] === (JSON.parse(b) as unknown[])[0];

const loadList = (): void => {
  const info = run.value;
  if (!info || !atoms.visible.value) return;
  const key = question(info.name, info.generation, info.snapshots, info.state);
  ask(deepList, key, { keep: alikeRun(deepList.value.dataKey, key), patient: alikeRun(deepList.value.key, key) }, (signal) => fetchDeep({ run: info.name }, signal));
};

const loadContents = (): void => {
  const [info, step] = [run.value, to.value];
  if (!info || step === null || !cause.value || !atoms.visible.value) return;
  const size = deepList.value.data?.deep.find((one) => one.step === step)?.size;
  // It was deleted, and what it held is known.
  if (size === undefined && contents.peek().data?.contents?.step === step) return;
  const key = question(info.name, step, size);
  ask(contents, key, { keep: false }, (signal) => fetchDeep({ run: info.name, step }, signal));
};

/** What every question about the target says. */
const asked = computed<Params | null>(() => {
  const [info, aim, step] = [run.value, target.value, to.value];
  if (!info || !aim || step === null || !cause.value || !tape.value || offTape.value) return null;
  return { run: info.name, step, node: aim.node, units: aim.units.join(","), program: atoms.program.value, quantity: explained.value };
});

/** Counts the times that a failed question was asked again. */
const attempts = signal(0);

/** Asks again what failed; the run's deep snapshots too, which may be others meanwhile. */
export const retryCredit = (): void => batch(() => {
  if (contents.value.error !== null) retry<never>(contents as never);
  retry<never>(deepList as never);
  [credited, onward].forEach((answer) => again<never>(answer as never));
  attempts.value += 1;
});

/** While lines are being chosen one after the other, nothing is computed. */
const SETTLE = 250;
let settling = 0;

const loadCredit = (): void => {
  const [params, how, since] = [asked.value, cause.value, from.value];
  void attempts.value;
  window.clearTimeout(settling);
  if (!how || !target.value || offTape.value || (how.method === "change" && since === null)) {
    [credited, onward].forEach((answer) => forget(answer));
    return;
  }
  if (!params) {
    // What the tape holds is still to come; until then what was there stays.
    [credited, onward].forEach((answer) => again<never>(answer as never));
    return;
  }
  if (!atoms.visible.value) return;
  const full: Params = how.method === "change" ? { ...params, method: "change", previous: since, batch: how.batch } : { ...params, method: "value" };
  const key = question(full);
  if (credited.peek().key === key && credited.peek().state !== "idle") return;
  [credited, onward].forEach((answer) => give(answer));
  const keep = credited.peek().dataKey !== "" && (JSON.parse(credited.peek().dataKey) as Params[])[0]?.["node"] === params["node"];
  credited.value = { ...unasked(), state: "idle", ...(keep ? { data: credited.peek().data, dataKey: credited.peek().dataKey } : {}) };
  settling = window.setTimeout(() => {
    pursue(credited, key, keep, (signal) => fetchCredit(full, signal));
    const later: Params = { ...params, quantity: null, method: "after" };
    // A loss has nothing after it.
    if (params["quantity"] === "loss") forget(onward);
    else pursue(onward, question(later), keep, (signal) => fetchCredit(later, signal));
  }, SETTLE);
};

/** Asked by itself where the user looks at a step whose loss is known not to be finite. */
const loadOrigin = (): void => {
  const [step, key] = [to.value, originKey()];
  if (step === null || !atoms.visible.value) return;
  const loss = lossAt(step);
  const looked = cause.value !== null || (failure.value?.here && failure.value.step === step);
  if (looked && loss !== undefined && !Number.isFinite(loss)) findOrigin();
  else if (origin.peek().key !== "" && origin.peek().key !== key) forget(origin);
};

const originKey = (): string => question(run.value?.name, to.value, atoms.program.value);

export function findOrigin(): void {
  const [name, step, program] = [run.peek()?.name, to.peek(), atoms.program.peek()];
  if (name === undefined || step === null) return;
  pursue(origin, question(name, step, program), false, (signal) => fetchOrigin({ run: name, step, program }, signal));
}

export const retryOrigin = (): void => batch(() => (again(origin), findOrigin()));

const loadPictures = (): void => {
  const [info, step, image, { abnormal, normal }] = [run.value, to.value, imageInput.value, ranked.value];
  const positions = [...abnormal, ...normal];
  if (!cause.value || !info || step === null || !image || !positions.length) return clear(pictures);
  if (!atoms.visible.value || credited.value.data?.step !== step) return;
  const key = question(info.name, step, image.key, positions);
  ask(pictures, key, { keep: false }, (signal) => fetchSample({ run: info.name, step, key: image.key, positions: positions.join(",") }, signal));
};

/** Replays the step with something undone or forced. */
export function tryOut(next: Tried): void {
  const params = asked.peek();
  if (!params) return;
  trial.value = next;
  const clamp = next.change === "clamp";
  const full: Params = {
    ...params, previous: clamp ? null : next.previous, change: next.change, at: next.change === "restore-samples" ? null : next.at, of: next.of.join(","),
    low: clamp ? next.low : null, high: clamp ? next.high : null,
  };
  again(outcome);
  pursue(outcome, question(full), false, (signal) => fetchReplay(full, signal));
}

/** A result is about one target at one step. */
const dropOutcome = (): void => {
  const params = asked.value;
  const told = outcome.peek().key;
  if (told && (!params || Object.entries(params).some(([name, value]) => (JSON.parse(told) as Params[])[0]?.[name] !== value))) batch(() => (forget(outcome), (trial.value = null)));
};

/** Starts all loading of the neuron level; the result stops it. */
export function startCredit(): () => void {
  const stops = [loadList, loadContents, loadCredit, loadOrigin, loadPictures, dropOutcome, dropTrail, followFocus].map((load) => effect(load));
  return () => stops.forEach((stop) => stop());
}
