/** What a user can do; the only place where choices change. */

import { batch } from "@preact/signals";
import { lastAtOrBefore, nearest } from "../lib/axis";
import { groupsAround } from "../lib/hierarchy";
import * as atoms from "./atoms";
import { clear } from "./resource";
import { focus, focusIndex, hierarchy, metrics, open, snapshots } from "./getters";

export function chooseRun(name: string): void {
  batch(() => {
    atoms.chosenRun.value = name;
    atoms.pinned.value = null;
    atoms.range.value = null;
    atoms.openGroups.value = null;
    atoms.program.value = null;
    chooseNode(null);
    [atoms.loss, atoms.graph, atoms.aggregates].forEach((resource) => clear<unknown>(resource as never));
  });
}

/** Pins the snapshot nearest to a step; following pauses, and the network shows what jumped there. */
export function pinNearest(step: number): void {
  const at = nearest(snapshots.value, step);
  if (at < 0) return;
  batch(() => {
    atoms.pinned.value = snapshots.value[at]!;
    atoms.seekingJump.value = true;
  });
}

/** Moves the focus by snapshots; from a followed run it pins. */
export function moveFocus(by: number): void {
  const steps = snapshots.value;
  const at = focusIndex.value + by;
  if (steps.length) atoms.pinned.value = steps[Math.min(steps.length - 1, Math.max(0, at))]!;
}

export const pause = (): void => void (atoms.pinned.value = focus.value);

export function followLive(): void {
  batch(() => {
    atoms.pinned.value = null;
    if (atoms.range.value !== atoms.WHOLE) atoms.range.value = null;
  });
}

/** Brushes a range of steps; a focus outside it moves to the snapshot in its middle. */
export function brush(from: number, to: number): void {
  const steps = snapshots.value;
  const [first, last] = [lastAtOrBefore(steps, from - 1e-9) + 1, lastAtOrBefore(steps, to)];
  batch(() => {
    atoms.range.value = [Math.floor(from), Math.ceil(to)];
    if (last >= first && (focusIndex.value < first || focusIndex.value > last)) atoms.pinned.value = steps[(first + last) >> 1]!;
    else if (atoms.pinned.value === null) pause();
  });
}

/** Shows the whole run, and what is still to come of it; or again the window around the focus. */
export const toggleWhole = (): void => void (atoms.range.value = atoms.range.value === atoms.WHOLE ? null : atoms.WHOLE);

export const clearRange = (): void => void (atoms.range.value = null);

export function chooseNode(name: string | null): void {
  if (atoms.chosenNode.peek() === name) return;
  batch(() => {
    atoms.chosenNode.value = name;
    atoms.chosenUnits.value = [];
    atoms.hoveredUnit.value = null;
    [atoms.layer, atoms.density, atoms.neuron].forEach((resource) => clear<unknown>(resource as never));
  });
}

/** Asks the network's panel to bring a node into view. */
const reveal = (node: string): void => void (atoms.revealed.value = { node, times: (atoms.revealed.peek()?.times ?? 0) + 1 });

/** Chooses a node and brings it into view, opening the groups around it. */
export function revealNode(name: string): void {
  batch(() => {
    const around = hierarchy.value ? groupsAround(hierarchy.value, name) : [];
    if (around.some((group) => !open.value.has(group))) atoms.openGroups.value = new Set([...open.value, ...around]);
    chooseNode(name);
    reveal(name);
  });
}

export function toggleGroup(name: string): void {
  const next = new Set(open.value);
  if (!next.delete(name)) next.add(name);
  atoms.openGroups.value = next;
}

export const closeAll = (): void => void (atoms.openGroups.value = new Set());

export const openToDepth = (): void => void (atoms.openGroups.value = null);

/** Replaces the chosen units, or adds to them and takes away again (`toggle`). */
export function chooseUnits(units: readonly number[], toggle: boolean): void {
  const before = atoms.chosenUnits.value;
  const next = toggle
    ? [...before.filter((unit) => !units.includes(unit)), ...units.filter((unit) => !before.includes(unit))]
    : units;
  atoms.chosenUnits.value = next.slice(0, atoms.MOST_UNITS);
}

/** Adds units without taking any away. */
export const addUnits = (units: readonly number[]): void =>
  chooseUnits([...atoms.chosenUnits.value, ...units.filter((unit) => !atoms.chosenUnits.value.includes(unit))], false);

export function toggleMetric(name: string): void {
  const next = new Set(metrics.value);
  if (!next.delete(name)) next.add(name);
  atoms.shownMetrics.value = next;
}
