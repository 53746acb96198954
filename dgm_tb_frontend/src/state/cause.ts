/** What is asked of the neuron level: which units, of what, between which deep steps; and the way that was walked. */

import { batch, computed, signal } from "@preact/signals";
import type { Batch, Driver, Of } from "../api/credit";
import { lastAtOrBefore } from "../lib/axis";
import { chooseUnits, pinNearest, revealNode } from "./actions";
import { credited, deepList, deepSteps } from "./answers";
import * as atoms from "./atoms";
import { focus, following, run } from "./getters";
import { clear } from "./resource";

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

/** Stops that are kept, also in the deep link: an address has only so much room. */
export const LONGEST_TRAIL = 12;

/** Targets on the way back to the first, which comes first; of a longer way the last ones. */
export const trail = signal<readonly Stop[]>([]);

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

/** The deep step that is asked for, where it was overwritten or thinned away meanwhile. */
export const lost = computed<number | null>(() => {
  const chosen = cause.value?.to ?? null;
  return chosen !== null && deepList.value.data && !known.value.includes(chosen) ? chosen : null;
});

export const target = computed<Stop | null>(() => {
  const node = atoms.chosenNode.value;
  return node === null ? null : { node, units: [...atoms.chosenUnits.value].sort((a, b) => a - b) };
});

// What a user can do --------------------------------------------------------------------------------------------------

export const change = (part: Partial<Cause>): void => void (cause.value = { ...(cause.peek() ?? ANY_CAUSE), ...part });

/** Units of the layer that jumped extremely into the focus. */
export function jumpers(): number[] {
  const reply = atoms.layer.peek().data;
  if (!reply || reply.node !== atoms.chosenNode.peek()) return [];
  return Array.from(reply.unit).filter((_, line) => reply.score[line]! >= reply.extreme).slice(0, atoms.MOST_UNITS);
}

/** Opens the panel: for the chosen units, else for those that jumped, else for the whole layer. */
export function why(): void {
  batch(() => {
    if (!atoms.chosenUnits.value.length) chooseUnits(jumpers(), false);
    // While a run is followed, new deep snapshots come and go: what is asked now stays what is explained.
    cause.value ??= following.peek() && run.peek()?.state === "live" ? { ...ANY_CAUSE, from: from.peek(), to: to.peek() } : ANY_CAUSE;
  });
}

/** Opens the panel for the units that drove the step's values beyond what a number can hold; where it is open, walks on to them. */
export function whyDriver({ node, units }: Driver): void {
  if (cause.peek()) return walkTo({ node, units });
  batch(() => {
    revealNode(node);
    chooseUnits(units, false);
    why();
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

const sameStop = (a: Stop | null, b: Stop | null): boolean => JSON.stringify(a) === JSON.stringify(b);

/** The target that the way leads to: the user walked there. */
let arrived = "";

const walk = (way: readonly Stop[], next: Stop): void => batch(() => {
  aimAt(next);
  keepTrail(way);
});

/** Sets the way to the target as it is now; in the batch that has set that. */
export function keepTrail(way: readonly Stop[]): void {
  trail.value = way.slice(-LONGEST_TRAIL);
  arrived = JSON.stringify(target.peek());
}

/** Makes a unit the next target; the one left behind can be gone back to. */
export function walkTo(next: Stop): void {
  const here = target.peek();
  if (here && !sameStop(here, next)) walk([...trail.peek(), here], next);
}

/** Goes back to a target on the way. */
export function walkBack(at: number): void {
  const stop = trail.peek()[at];
  if (stop) walk(trail.peek().slice(0, at), stop);
}

/** The way ends where the user chooses something else than a tile; a stop on it is where it then leads to. */
export const dropTrail = (): void => {
  const here = target.value;
  if (JSON.stringify(here) === arrived) return;
  arrived = JSON.stringify(here);
  if (trail.peek().length) trail.value = trail.peek().slice(0, Math.max(0, trail.peek().findIndex((stop) => sameStop(stop, here))));
};

/** Explains a deep step; the focus goes there, too. */
export function chooseDeep(step: number): void {
  batch(() => {
    change({ to: step, ...((cause.peek()?.from ?? -Infinity) >= step ? { from: null } : {}) });
    pinNearest(step);
  });
}

interface Seen {
  readonly pin: number | null;
  readonly name: string | null;
  readonly how: Cause | null;
}

let seen: Seen = { pin: null, name: null, how: null };

/** A focus that is pinned anew is what is explained, and another run is asked anew; unless the cause was chosen together with it. */
export const followFocus = (): void => {
  const [pin, name, how] = [atoms.pinned.value, run.value?.name ?? seen.name, cause.value];
  const apart = how !== null && how === seen.how;
  if (apart && seen.name !== null && name !== seen.name) closeCause();
  else if (apart && pin !== null && pin !== seen.pin && (how.from !== null || how.to !== null)) cause.value = { ...how, from: null, to: null };
  seen = { pin, name, how: cause.peek() };
};
