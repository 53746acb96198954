/** The module hierarchy of a graph: who lies in which group, and what is visible when some groups are open. */

import type { GraphGroup, GraphNode, GraphReply } from "../api/types";

/** Groups and nodes share one namespace of ids, for a group may be named like a node. */
export const nodeId = (name: string): string => `n:${name}`;
export const groupId = (name: string): string => `g:${name}`;
export const nameOf = (id: string): string => id.slice(2);
export const isGroup = (id: string): boolean => id.startsWith("g:");

export interface Hierarchy {
  readonly nodes: ReadonlyMap<string, GraphNode>;
  readonly groups: ReadonlyMap<string, GraphGroup>;
  /** Direct children (ids) of each group, `""` being the top, nodes in order of first call. */
  readonly children: ReadonlyMap<string, readonly string[]>;
  /** All nodes (names) beneath each group. */
  readonly members: ReadonlyMap<string, readonly string[]>;
}

export function buildHierarchy(graph: GraphReply): Hierarchy {
  // The module itself ("") is no box; it is the panel.
  const groups = new Map(graph.groups.filter((group) => group.name !== "").map((group) => [group.name, group]));
  const home = (name: string): string => (groups.has(name) ? name : "");
  const children = new Map<string, string[]>([["", []]]);
  const members = new Map<string, string[]>([["", []]]);
  for (const name of groups.keys()) (children.set(name, []), members.set(name, []));
  const placed = new Set<string>();
  const placeGroup = (name: string): void => {
    if (name === "" || placed.has(name)) return;
    placed.add(name);
    const parent = home(groups.get(name)!.parent);
    placeGroup(parent);
    children.get(parent)!.push(groupId(name));
  };
  for (const node of graph.nodes) {
    placeGroup(home(node.group));
    children.get(home(node.group))!.push(nodeId(node.name));
    for (const name of enclosing(groups, node.group)) members.get(name)!.push(node.name);
  }
  return { nodes: new Map(graph.nodes.map((node) => [node.name, node])), groups, children, members };
}

/** The group itself and all around it, innermost first, `""` last. */
function enclosing(groups: ReadonlyMap<string, GraphGroup>, group: string): string[] {
  const out: string[] = [];
  for (let name = group; name !== "" && groups.has(name) && !out.includes(name); name = groups.get(name)!.parent) out.push(name);
  return [...out, ""];
}

export const groupsAround = (hierarchy: Hierarchy, node: string): string[] =>
  enclosing(hierarchy.groups, hierarchy.nodes.get(node)?.group ?? "").slice(0, -1);

/** What is drawn as a box without content: nodes, and groups that are closed. */
export function visibleLeaves(hierarchy: Hierarchy, open: ReadonlySet<string>, from = ""): string[] {
  return (hierarchy.children.get(from) ?? []).flatMap((id) =>
    isGroup(id) && open.has(nameOf(id)) ? visibleLeaves(hierarchy, open, nameOf(id)) : [id]);
}

/** The box that stands for a node: itself, or the outermost closed group around it. */
export function representative(hierarchy: Hierarchy, open: ReadonlySet<string>, node: string): string {
  const closed = groupsAround(hierarchy, node).filter((name) => !open.has(name));
  return closed.length ? groupId(closed[closed.length - 1]!) : nodeId(node);
}

/**
 * Opens whole levels from the top while at most `cap` boxes are visible; a level that would pass it is opened in
 * order as far as it goes. A graph of a single group is opened in any case.
 */
export function initialExpansion(hierarchy: Hierarchy, cap: number): Set<string> {
  const open = new Set<string>();
  let level = (hierarchy.children.get("") ?? []).filter(isGroup).map(nameOf);
  let visible = hierarchy.children.get("")?.length ?? 0;
  while (level.length) {
    const next: string[] = [];
    for (const name of level) {
      const inside = hierarchy.children.get(name) ?? [];
      if (visible - 1 + inside.length > cap && visible > 1) continue;
      open.add(name);
      visible += inside.length - 1;
      next.push(...inside.filter(isGroup).map(nameOf));
    }
    level = next;
  }
  return open;
}
