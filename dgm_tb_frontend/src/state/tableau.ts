/** The credit's picture: the columns before and after the target, and where everything in it stands. */

import { computed, signal } from "@preact/signals";
import type { Credit } from "../api/credit";
import { flow } from "../lib/flow";
import { column, type Column, takesPart } from "../lib/share";
import { leastWidth, tableau, type Tableau } from "../lib/tableau";
import * as atoms from "./atoms";
import { credited, onward } from "./answers";
import { explained, target } from "./cause";

/** Pixels that the picture may take without scrolling. */
export const room = signal(1200);

/** Tiles a column; null lets the room decide. */
export const tileBudget = signal<number | null>(null);
/** Edges with a smaller share are not drawn. */
export const threshold = signal(0.25);
/** Layers on each side of the target. */
export const reach = signal(6);
/** Whether samples are drawn under the credit of their pixels. */
export const overlaid = signal(false);

/** Tiles a column, and how many stand beside each other, where the user chose nothing: the second where the first does not fit. */
const BUDGETS = [{ most: 24, across: 2 }, { most: 12, across: 1 }] as const;
/** Tiles that one file of a column holds. */
const FILE = 14;

export interface Picture {
  readonly tableau: Tableau;
  /** Which column is the target's. */
  readonly target: number;
  readonly columns: readonly Column[];
  /** Tiles a column. */
  readonly most: number;
  /** Layers too far away to be shown, on either side. */
  readonly beyond: readonly [before: number, after: number];
  /** Layers that take no part. */
  readonly idle: readonly string[];
  /** What the columns after the target are of; null while it is not known. */
  readonly later: Credit | null;
  /** Layers after the target whose part is not finite. */
  readonly unsound: readonly string[];
}

/** What the target is called in the picture: a node, or the loss. */
export const aimed = computed<string>(() =>
  explained.value === "loss" ? atoms.graph.value.data?.nodes.find((node) => node.kind === "loss")?.name ?? "loss" : target.value?.node ?? "");

export const picture = computed<Picture | null>(() => {
  const [reply, aim] = [credited.value.data, aimed.value];
  if (!reply || !aim || (explained.value !== "loss" && !reply.units.has(aim))) return null;
  const beyond = explained.value === "gradient" ? reply : explained.value === "loss" ? null : onward.value.data;
  const unsound = [...(beyond?.units ?? [])].filter(([node, values]) => node !== aim && values.some((value) => !Number.isFinite(value))).map(([node]) => node);
  // Of a gradient that is not finite there is nothing to be drawn.
  const later = unsound.length && explained.value !== "gradient" ? null : beyond;
  const graph = atoms.graph.value.data;
  const order = graph?.nodes.map((node) => node.name) ?? [];
  const sideOf = (which: "before" | "after", of: Credit | null) => {
    const inside = new Set([...(of?.units ?? [])].filter(([node, values]) => node !== aim && takesPart(values)).map(([node]) => node));
    const all = [...new Set([...order, ...(of?.units.keys() ?? []), aim])];
    const found = flow(graph?.edges ?? [], all, inside, aim, which);
    return { ...found, near: found.ranks.slice(0, reach.value), inside };
  };
  const [before, after] = [sideOf("before", reply), sideOf("after", later)];
  const count = before.near.length + 1 + after.near.length;
  const chosen = tileBudget.value;
  const { most, across } = chosen ? { most: chosen, across: Math.ceil(chosen / FILE) } : BUDGETS.find((budget) => leastWidth(count, budget.across) <= room.value) ?? BUDGETS[1];
  const columnOf = (of: Credit) => (rank: readonly string[]): Column => column(rank.map((name) => [name, of.units.get(name)!, of.maps.get(name) ?? null] as const), most);
  const own: Column = reply.units.has(aim) ? columnOf(reply)([aim])
    : { scale: 0, blocks: [{ node: aim, units: 0, sum: reply.after - reply.before, tiles: [], piles: [], nonfinite: 0 }] };
  const columns = [...before.near.map(columnOf(reply)).reverse(), own, ...(later ? after.near.map(columnOf(later)) : [])];
  return {
    tableau: tableau({ columns, target: before.near.length, links: [...before.edges, ...after.edges], across, room: room.value }), target: before.near.length, columns, most, later,
    beyond: [before.ranks.length - before.near.length, after.ranks.length - after.near.length],
    idle: [...reply.units.keys()].filter((node) => node !== aim && !before.inside.has(node) && !after.inside.has(node)),
    unsound,
  };
});
