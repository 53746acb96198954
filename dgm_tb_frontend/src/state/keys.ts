/** Keyboard shortcuts: one table, read by the handler and by the help. */

import { batch } from "@preact/signals";
import { chooseNode, chooseUnits, clearRange, followLive, moveFocus, toggleWhole } from "./actions";
import * as atoms from "./atoms";
import { cause, closeCause, why } from "./cause";

interface Shortcut {
  readonly keys: readonly string[];
  readonly shown: string;
  readonly means: string;
  readonly act: () => void;
}

/** Esc undoes the narrowest choice first: help, cause, units, range, node. */
function escape(): void {
  if (atoms.helpOpen.value) atoms.helpOpen.value = false;
  else if (cause.value) closeCause();
  else if (atoms.chosenUnits.value.length) chooseUnits([], false);
  else if (atoms.range.value) clearRange();
  else chooseNode(null);
}

export const SHORTCUTS: readonly Shortcut[] = [
  { keys: ["ArrowLeft"], shown: "←", means: "previous snapshot", act: () => moveFocus(-1) },
  { keys: ["ArrowRight"], shown: "→", means: "next snapshot", act: () => moveFocus(1) },
  { keys: ["l", "L"], shown: "L", means: "follow the newest snapshot", act: followLive },
  { keys: ["w", "W"], shown: "W", means: "the whole run, and back", act: toggleWhole },
  { keys: ["y", "Y"], shown: "Y", means: "why? – the cause for the chosen units", act: () => void (atoms.chosenNode.value !== null && why()) },
  { keys: ["["], shown: "[", means: "halve the window around the focus", act: () => resize(0.5) },
  { keys: ["]"], shown: "]", means: "double the window around the focus", act: () => resize(2) },
  { keys: ["/"], shown: "/", means: "find a module by name or type", act: () => document.getElementById("search")?.focus() },
  { keys: ["Escape"], shown: "Esc", means: "undo the last choice: cause, units, range, node", act: escape },
  { keys: ["?"], shown: "?", means: "this list", act: () => void (atoms.helpOpen.value = !atoms.helpOpen.value) },
];

/** What is done with the pointer or within a panel; listed in the help only. */
export const GESTURES: readonly (readonly [shown: string, means: string])[] = [
  ["Click the loss", "put the focus on the nearest snapshot; where several share a pixel, on the one with the greatest loss"],
  ["Drag across the loss", "look at a range of steps only; double-click to end"],
  ["↑ ↓ on a node", "along the data flow"],
  ["Enter on a node", "open its layer, or open and close a group"],
  ["Scroll, Ctrl-scroll", "move and zoom the network; drag moves it, too"],
  ["Click a line", "choose its unit; with Shift several"],
  ["Drag across lines", "choose all units whose lines are touched"],
  ["Click ◆ under the loss", "explain the change to that deep snapshot"],
  ["Click a tile or a pile", "make its unit or units the next target; the way back stands above"],
  ["← → ↑ ↓ on a tile", "to the tiles around it"],
];

const MOST_WINDOW = 200;

function resize(factor: number): void {
  batch(() => void (atoms.windowSize.value = Math.min(MOST_WINDOW, Math.max(3, Math.round(atoms.windowSize.value * factor)))));
}

export function handleKey(event: KeyboardEvent): void {
  if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey) return;
  const target = event.target as HTMLElement | null;
  if (target?.matches?.("input, select, textarea")) return;
  const shortcut = SHORTCUTS.find((entry) => entry.keys.includes(event.key));
  if (!shortcut) return;
  event.preventDefault();
  shortcut.act();
}
