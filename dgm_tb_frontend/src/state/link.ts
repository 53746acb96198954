/** Keeps the page's address and the atoms in step: choices go into the hash, back and forward come out of it. */

import { batch, effect } from "@preact/signals";
import { readAddress, watchAddress, writeAddress } from "../lib/host";
import * as atoms from "./atoms";
import { cause, keepTrail, trail } from "./cause";
import { type LinkState, readHash, writeHash } from "./hash";

function current(): LinkState {
  return {
    run: atoms.chosenRun.value,
    quantity: atoms.quantity.value,
    statistic: atoms.statistic.value,
    scale: atoms.scale.value,
    program: atoms.program.value,
    focus: atoms.pinned.value,
    range: atoms.range.value,
    window: atoms.windowSize.value,
    open: atoms.openGroups.value,
    node: atoms.chosenNode.value,
    units: atoms.chosenUnits.value,
    lines: atoms.lineBudget.value,
    cause: cause.value,
    trail: cause.value ? trail.value : [],
  };
}

function restore(link: LinkState): void {
  batch(() => {
    atoms.chosenRun.value = link.run;
    atoms.quantity.value = link.quantity;
    atoms.statistic.value = link.statistic;
    atoms.scale.value = link.scale;
    atoms.program.value = link.program;
    atoms.pinned.value = link.focus;
    atoms.range.value = link.range;
    atoms.windowSize.value = link.window;
    atoms.openGroups.value = link.open;
    atoms.chosenNode.value = link.node;
    atoms.chosenUnits.value = link.units;
    atoms.lineBudget.value = link.lines;
    cause.value = link.cause;
    keepTrail(link.trail);
    if (link.node !== null) atoms.revealed.value = { node: link.node, times: (atoms.revealed.peek()?.times ?? 0) + 1 };
  });
}

/** A change of what is looked at, rather than how: worth a step of the browser's history. */
const place = (link: LinkState): string => JSON.stringify([link.run, link.node]);

/** Restores the view from the address, then writes every change into it; the result stops that. */
export function startLink(): () => void {
  let last = readHash(readAddress());
  restore(last);
  const stopWriting = effect(() => {
    const link = current();
    const push = place(link) !== place(last);
    last = link;
    writeAddress(writeHash(readAddress(), link), push);
  });
  const stopWatching = watchAddress(() => {
    const link = readHash(readAddress());
    if (writeHash("", link) === writeHash("", last)) return;
    last = link;
    restore(link);
  });
  return () => (stopWriting(), stopWatching());
}
