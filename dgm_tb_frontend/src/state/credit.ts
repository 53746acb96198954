/** The neuron level: what is asked about the chosen units, what the worker answers, and the way that was walked. */

import { batch, computed, effect, signal } from "@preact/signals";
import { type Batch, type ChangeKind, type Credit, type DeepReply, fetchCredit, fetchDeep, fetchOrigin, fetchReplay, fetchSample, type Of, type OriginDone, type Outcome, type SampleReply } from "../api/credit";
import type { Params } from "../api/client";
import { lastAtOrBefore } from "../lib/axis";
import { EXTREME } from "../lib/palette";
import { imageShape, type ImageShape } from "../lib/patch";
import { extremes } from "../lib/share";
import { chooseUnits, pinNearest } from "./actions";
import { type Answer, again, current, forget, give, pursue, unasked } from "./asking";
import * as atoms from "./atoms";
import { focus, following, run } from "./getters";
import { ask, clear, emptyResource, type Resource, retry } from "./resource";

// What is asked -------------------------------------------------------------------------------------------------------

/** How the cause is looked for. */
export interface Cause {
  readonly method: "change" | "value";
  /** Deep steps; null takes what the focus suggests. */
  readonly from: number | null;
  readonly to: number | null;
  readonly batch: Batch;
  /** Null takes what is chosen at the top, where it can be explained. */
  readonly of: Of | null;
}

export const ANY_CAUSE: Cause = { method: "change", from: null, to: null, batch: "own", of: null };

/** Null while the panel is closed: then nothing is computed. */
export const cause = signal<Cause | null>(null);

/** A target that was left for another. */
export interface Stop {
  readonly node: string;
  readonly units: readonly number[];
}

/** Targets on the way back to the first, which comes first. */
export const trail = signal<readonly Stop[]>([]);
/** Tiles a column; null lets the room decide. */
export const tileBudget = signal<number | null>(null);
/** Edges with a smaller share are not drawn. */
export const threshold = signal(0.25);
/** Layers on each side of the target. */
export const reach = signal(6);
/** Whether samples are drawn under the credit of their pixels. */
export const overlaid = signal(false);

// What was answered ---------------------------------------------------------------------------------------------------

/** The run's deep snapshots; the loss's own list forgets none that were deleted. */
export const deepList = signal<Resource<DeepReply>>(emptyResource());
/** What the deep snapshot at `to` holds. */
export const contents = signal<Resource<DeepReply>>(emptyResource());
/** Who accounts for the target; from before it. */
export const credited = signal<Answer<Credit>>(unasked());
/** Which later units its gradient comes through. */
export const onward = signal<Answer<Credit>>(unasked());
/** Where values ceased to be finite. */
export const origin = signal<Answer<OriginDone>>(unasked());
/** The samples on show. */
export const pictures = signal<Resource<SampleReply>>(emptyResource());

/** An intervention, in the words in which it was asked. */
export interface Trial {
  readonly change: ChangeKind;
  readonly at: string;
  readonly of: readonly number[];
  readonly low: number;
  readonly high: number;
  readonly step: number;
  readonly previous: number | null;
}

/** The intervention last tried, and what came of it. */
export const trial = signal<Trial | null>(null);
export const outcome = signal<Answer<Outcome>>(unasked());

// What follows --------------------------------------------------------------------------------------------------------

/** Steps of the deep snapshots there are, ascending. */
export const deepSteps = computed<readonly number[]>(() => deepList.value.data?.deep.map(({ step }) => step) ?? []);

/** What can be explained of what is chosen at the top. */
export const explained = computed<Of>(() => cause.value?.of ?? (atoms.quantity.value === "gradient" ? "gradient" : "activation"));

const atOrBefore = (steps: readonly number[], step: number): number => lastAtOrBefore(Float64Array.from(steps), step);

/** Deep steps that can be talked about: also those that were deleted after their credit had come. */
const known = computed<readonly number[]>(() => {
  const reply = credited.value.data;
  const answered = reply ? [reply.step, reply.previous ?? reply.step] : [];
  return [...new Set([...deepSteps.value, ...answered])].sort((a, b) => a - b);
});

/** The deep step that is explained: the chosen one, else the nearest at or before it, or before the focus, else the first. */
export const to = computed<number | null>(() => {
  const [steps, chosen] = [deepSteps.value, cause.value?.to ?? null];
  if (chosen !== null && known.value.includes(chosen)) return chosen;
  return steps[Math.max(0, atOrBefore(steps, chosen ?? focus.value ?? Infinity))] ?? null;
});

/** The deep step since which the change is explained; null where there is none before. */
export const from = computed<number | null>(() => {
  const [steps, chosen, until] = [deepSteps.value, cause.value?.from ?? null, to.value];
  if (until === null) return null;
  if (chosen !== null && chosen < until && known.value.includes(chosen)) return chosen;
  return steps.filter((step) => step < until).at(-1) ?? null;
});

/** Whether the deep step that is asked for was overwritten or thinned away meanwhile. */
export const lost = computed<number | null>(() => {
  const chosen = cause.value?.to ?? null;
  return chosen !== null && deepList.value.data && !known.value.includes(chosen) ? chosen : null;
});

export const target = computed<Stop | null>(() => {
  const node = atoms.chosenNode.value;
  return node === null ? null : { node, units: [...atoms.chosenUnits.value].sort((a, b) => a - b) };
});

/** The loss at a step as it was logged; undefined where none was. */
export function lossAt(step: number): number | undefined {
  const data = atoms.loss.value.data;
  const at = data ? lastAtOrBefore(data.step, step) : -1;
  return data && at >= 0 && data.step[at] === step && data.logged[0]?.[at] ? data.values[0]![at] : undefined;
}

/** Credit for what is asked now. */
export const credit = computed<Credit | null>(() => current(credited.value));

/** Whether the target, or the way to it, is not finite: then no parts add up to anything. */
export const broken = computed(() => credited.value.data !== null && !Number.isFinite(credited.value.data.after - credited.value.data.before + credited.value.data.gap));

/** What the tape at `to` holds; null until that is known. */
const tape = computed(() => (contents.value.data?.contents?.step === to.value ? contents.value.data?.contents ?? null : null));

/** Whether the chosen node has no units on that tape: it was not called at that step, or is no module. */
export const offTape = computed(() => {
  const node = target.value?.node;
  return tape.value !== null && explained.value !== "loss" && node !== undefined && !Object.values(tape.value.nodes).some((nodes) => nodes.includes(node));
});

export const inputs = computed(() => tape.value?.inputs ?? []);

/** The batch's tensor that is drawn as images. */
export const imageInput = computed<{ readonly key: string; readonly name: string; readonly shape: ImageShape } | null>(() => {
  for (const { key, name, shape } of inputs.value) {
    const image = imageShape(shape);
    if (image) return { key, name, shape: image };
  }
  return null;
});

/** Samples on show at most, of each kind. */
const SHOWN = 6;

/** What each sample of the batch shows of it; of a loss, what its inputs bring in. */
export const bySample = computed<Float32Array>(() => {
  const reply = credited.value.data;
  if (!reply) return new Float32Array();
  if (reply.samples.length) return reply.samples;
  const [first] = reply.inputs.values();
  const batch = first?.shape[0] ?? 0;
  const each = batch ? first!.data.length / batch : 0;
  return Float32Array.from({ length: batch }, (_, at) => first!.data.subarray(at * each, (at + 1) * each).reduce((sum, value) => sum + value, 0));
});

/** The samples that show most and least of the target's change. */
export const ranked = computed(() => extremes(bySample.value, SHOWN));

// What a user can do --------------------------------------------------------------------------------------------------

export const change = (part: Partial<Cause>): void => void (cause.value = { ...(cause.peek() ?? ANY_CAUSE), ...part });

/** Units of the layer that jumped extremely into the focus. */
export function jumpers(): number[] {
  const reply = atoms.layer.peek().data;
  if (!reply || reply.node !== atoms.chosenNode.peek()) return [];
  return Array.from(reply.unit).filter((_, line) => reply.score[line]! >= EXTREME).slice(0, atoms.MOST_UNITS);
}

/** Opens the panel: for the chosen units, else for those that jumped, else for the whole layer. */
export function why(): void {
  batch(() => {
    if (!atoms.chosenUnits.value.length) chooseUnits(jumpers(), false);
    // While a run is followed, new deep snapshots come and go: what is asked now stays what is explained.
    cause.value ??= following.peek() && run.peek()?.state === "live" ? { ...ANY_CAUSE, from: from.peek(), to: to.peek() } : ANY_CAUSE;
  });
}

export const closeCause = (): void => void batch(() => ((cause.value = null), (trail.value = [])));

const aimAt = ({ node, units }: Stop): void => {
  if (node !== atoms.chosenNode.peek()) {
    atoms.chosenNode.value = node;
    atoms.hoveredUnit.value = null;
    [atoms.layer, atoms.density, atoms.neuron].forEach((resource) => clear<unknown>(resource as never));
    atoms.revealed.value = { node, times: (atoms.revealed.peek()?.times ?? 0) + 1 };
  }
  atoms.chosenUnits.value = units;
};

let walking = false;

/** Makes a unit the next target; the one left behind can be gone back to. */
export function walkTo(next: Stop): void {
  const here = target.peek();
  if (!here) return;
  walking = true;
  batch(() => {
    trail.value = [...trail.value, here];
    aimAt(next);
  });
  walking = false;
}

/** Goes back to a target on the way. */
export function walkBack(at: number): void {
  const stop = trail.peek()[at];
  if (!stop) return;
  walking = true;
  batch(() => {
    trail.value = trail.value.slice(0, at);
    aimAt(stop);
  });
  walking = false;
}

/** Explains a deep step; the focus goes there, too. */
export function chooseDeep(step: number): void {
  batch(() => {
    change({ to: step, ...((cause.peek()?.from ?? -Infinity) >= step ? { from: null } : {}) });
    pinNearest(step);
  });
}

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

export const retryCredit = (): void => void batch(() => ([contents, deepList].forEach((resource) => resource.value.error !== null && retry<never>(resource as never)), [credited, onward].forEach((answer) => again<never>(answer as never)), (attempts.value += 1)));

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

/** Asked by itself where the loss is known not to be finite. */
const loadOrigin = (): void => {
  const [params, step] = [asked.value, to.value];
  if (!params || step === null || !atoms.visible.value) return;
  const loss = lossAt(step);
  if (loss !== undefined && !Number.isFinite(loss)) findOrigin();
  else if (origin.peek().key !== "" && origin.peek().key !== originKey()) forget(origin);
};

const originKey = (): string => question(run.peek()?.name, to.peek(), atoms.program.peek());

export function findOrigin(): void {
  const [name, step, program] = [run.peek()?.name, to.peek(), atoms.program.peek()];
  if (name === undefined || step === null) return;
  pursue(origin, originKey(), false, (signal) => fetchOrigin({ run: name, step, program }, signal));
}

const loadPictures = (): void => {
  const [info, step, image, { abnormal, normal }] = [run.value, to.value, imageInput.value, ranked.value];
  const positions = [...abnormal, ...normal];
  if (!cause.value || !info || step === null || !image || !positions.length) return clear(pictures);
  if (!atoms.visible.value || credited.value.data?.step !== step) return;
  const key = question(info.name, step, image.key, positions);
  ask(pictures, key, { keep: false }, (signal) => fetchSample({ run: info.name, step, key: image.key, positions: positions.join(",") }, signal));
};

/** Replays the step with something undone or forced. */
export function tryOut(next: Trial): void {
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

interface Seen {
  readonly pin: number | null;
  readonly name: string | null;
  readonly how: Cause | null;
}

let seen: Seen = { pin: null, name: null, how: null };

/** A focus that is pinned anew is what is explained, and another run is asked anew; unless the cause was chosen together with it. */
const followFocus = (): void => {
  const [pin, name, how] = [atoms.pinned.value, run.value?.name ?? seen.name, cause.value];
  const apart = how !== null && how === seen.how;
  if (apart && seen.name !== null && name !== seen.name) closeCause();
  else if (apart && pin !== null && pin !== seen.pin && (how.from !== null || how.to !== null)) cause.value = { ...how, from: null, to: null };
  seen = { pin, name, how: cause.peek() };
};

/** The way ends where the user chooses something else than a tile; a stop on it is where it then leads to. */
const dropTrail = (): void => {
  const here = target.value;
  void run.value?.name;
  if (walking || !trail.peek().length) return;
  // The browser's own way back leads to a stop, too.
  const at = trail.peek().findIndex((stop) => JSON.stringify(stop) === JSON.stringify(here));
  trail.value = trail.peek().slice(0, Math.max(0, at));
};

/** Starts all loading of the neuron level; the result stops it. */
export function startCredit(): () => void {
  const stops = [loadList, loadContents, loadCredit, loadOrigin, loadPictures, dropOutcome, dropTrail, followFocus].map((load) => effect(load));
  return () => stops.forEach((stop) => stop());
}
