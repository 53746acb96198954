/** What is visible of a hierarchy, and between which siblings each edge runs at every level on its way. */

import { groupId, isGroup, nameOf, nodeId } from "./hierarchy";

export interface LayoutInput {
  readonly nodes: readonly { readonly name: string; readonly group: string; readonly compact: boolean }[];
  readonly groups: readonly { readonly name: string; readonly parent: string }[];
  readonly edges: readonly { readonly source: string; readonly target: string; readonly back: boolean }[];
  readonly open: readonly string[];
}

/** Where edges enter and leave a group. */
export const IN = "port:in";
export const OUT = "port:out";

export interface SiblingEdge {
  readonly from: string;
  readonly to: string;
  readonly back: boolean;
  readonly edges: number[];
}

/** The open groups with their visible children and the edges between siblings. */
export class Tree {
  readonly open: ReadonlySet<string>;
  readonly compact: ReadonlySet<string>;
  readonly children = new Map<string, string[]>([["", []]]);
  readonly siblings = new Map<string, Map<string, SiblingEdge>>();
  readonly arcs: { from: string; to: string; edge: number }[] = [];
  private readonly parents = new Map<string, string>();

  constructor(input: LayoutInput) {
    this.open = new Set(input.open);
    this.compact = new Set(input.nodes.filter((node) => node.compact).map((node) => node.name));
    const known = new Set(input.groups.map((group) => group.name));
    const home = (name: string): string => (known.has(name) ? name : "");
    for (const group of input.groups) this.parents.set(groupId(group.name), home(group.parent));
    for (const node of input.nodes) this.parents.set(nodeId(node.name), home(node.group));
    for (const [id, parent] of this.parents) this.children.set(parent, [...(this.children.get(parent) ?? []), id]);
    input.edges.forEach((edge, index) => this.lift(nodeId(edge.source), nodeId(edge.target), edge.back, index));
  }

  /** Open groups that are visible, innermost first, the top last. */
  bottomUp(group = ""): string[] {
    const inner = (this.children.get(group) ?? []).filter((id) => isGroup(id) && this.open.has(nameOf(id)));
    return [...inner.flatMap((id) => this.bottomUp(nameOf(id))), group];
  }

  /** The visible box of an item, then the open groups around it, ending with `g:`. */
  private chain(id: string): string[] {
    const path = [id];
    for (let at = id; at !== "g:"; at = path[path.length - 1]!) {
      const parent = this.parents.get(at);
      if (parent === undefined) return [];
      path.push(groupId(parent));
    }
    const closed = path.findLastIndex((item) => item !== "g:" && isGroup(item) && !this.open.has(nameOf(item)));
    return closed > 0 ? path.slice(closed) : path;
  }

  private lift(source: string, target: string, back: boolean, index: number): void {
    const a = this.chain(source);
    const b = this.chain(target);
    if (!a.length || !b.length || (a[0] === b[0] && isGroup(a[0]!))) return;
    if (back || a[0] === b[0]) this.arcs.push({ from: a[0]!, to: b[0]!, edge: index });
    if (a[0] === b[0]) return;
    const common = a.find((item) => b.includes(item))!;
    const [i, j] = [a.indexOf(common), b.indexOf(common)];
    this.add(nameOf(common), a[i - 1]!, b[j - 1]!, back, index);
    if (back) return;
    for (let k = 1; k < i; k++) this.add(nameOf(a[k]!), a[k - 1]!, OUT, false, index);
    for (let k = 1; k < j; k++) this.add(nameOf(b[k]!), IN, b[k - 1]!, false, index);
  }

  private add(group: string, from: string, to: string, back: boolean, index: number): void {
    const edges = this.siblings.get(group) ?? new Map<string, SiblingEdge>();
    this.siblings.set(group, edges);
    const key = `${from}\n${to}\n${back}`;
    const known = edges.get(key);
    if (known) known.edges.push(index);
    else edges.set(key, { from, to, back, edges: [index] });
  }
}
