/**
 * Where the boxes and edges of the data-flow graph stand: one dagre run per open group, bottom-up, cached.
 *
 * An edge between groups is laid out between siblings under their lowest common ancestor; inside each group on its way
 * it runs to a port on the group's border. Edges that close a cycle take no part in ranking and are drawn as side arcs.
 */

import dagre from "@dagrejs/dagre";
import { groupId, isGroup, nameOf, nodeId } from "./hierarchy";
import { skippingEdges } from "./skips";

export interface LayoutInput {
  readonly nodes: readonly { readonly name: string; readonly group: string; readonly compact: boolean }[];
  readonly groups: readonly { readonly name: string; readonly parent: string }[];
  readonly edges: readonly { readonly source: string; readonly target: string; readonly back: boolean }[];
  readonly open: readonly string[];
}

export interface Box {
  readonly id: string;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly depth: number;
  /** A group that shows its content. */
  readonly open: boolean;
}

export type LinkKind = "forward" | "residual" | "back";
export type Point = readonly [x: number, y: number];

export interface Link {
  readonly kind: LinkKind;
  /** From top to bottom for forward and residual links; start, outermost point and end of a side arc. */
  readonly points: readonly Point[];
  /** Boxes at its ends; `null` at a group's port. */
  readonly from: string | null;
  readonly to: string | null;
  /** Indices of the input's edges that run through it. */
  readonly edges: readonly number[];
}

export interface Layout {
  readonly width: number;
  readonly height: number;
  readonly boxes: readonly Box[];
  readonly links: readonly Link[];
}

export const CARD = { width: 156, height: 58 };
export const PILL = { width: 116, height: 26 };
const HEADER = 22;
const PADDING = 12;
const ARC_ROOM = 26;
/** Side arcs keep this far from what they pass. */
const ARC_GAP = 14;
const PORT_ROOM = 8;
const IN = "port:in";
const OUT = "port:out";

interface SiblingEdge {
  readonly from: string;
  readonly to: string;
  readonly back: boolean;
  readonly edges: number[];
}

interface Placed {
  readonly width: number;
  readonly height: number;
  readonly at: ReadonlyMap<string, { x: number; y: number }>;
  readonly routes: readonly { edge: SiblingEdge; bends: readonly Point[] }[];
  readonly portIn: number;
  readonly portOut: number;
}

type Size = { readonly width: number; readonly height: number };

/** A cache of group layouts; its owner is the worker, or a test. */
export class LayoutCache {
  readonly groups = new Map<string, Placed>();
  runs = 0;
}

const CACHE_LIMIT = 2000;

export function layout(input: LayoutInput, cache: LayoutCache): Layout {
  const tree = new Tree(input);
  const placed = new Map<string, Placed>();
  const size = (id: string): Size => {
    const inner = placed.get(nameOf(id));
    if (isGroup(id) && inner) return inner;
    return !isGroup(id) && tree.compact.has(nameOf(id)) ? PILL : CARD;
  };
  for (const group of tree.bottomUp()) placed.set(group, placeGroup(group, tree, size, cache));
  const boxes: Box[] = [];
  const links: Link[] = [];
  const skips = skippingEdges(input.nodes.map((node) => node.name), input.edges);
  emit("", 0, 0, 0, tree, placed, size, skips, boxes, links);
  const root = placed.get("")!;
  const arcs = sideArcs(tree, boxes);
  const right = Math.max(root.width, ...arcs.map((arc) => arc.points[1]![0] + PADDING));
  return { width: right, height: root.height, boxes, links: [...links, ...arcs] };
}

/** The open groups with their visible children and the edges between siblings. */
class Tree {
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

function placeGroup(group: string, tree: Tree, size: (id: string) => Size, cache: LayoutCache): Placed {
  const children = tree.children.get(group) ?? [];
  const edges = [...(tree.siblings.get(group)?.values() ?? [])];
  const key = JSON.stringify([group, children.map((id) => [id, size(id).width, size(id).height]), edges]);
  const known = cache.groups.get(key);
  if (known) return known;
  cache.runs++;
  if (cache.groups.size >= CACHE_LIMIT) cache.groups.clear();
  const fresh = runDagre(group, children, edges, size);
  cache.groups.set(key, fresh);
  return fresh;
}

function runDagre(group: string, children: readonly string[], edges: readonly SiblingEdge[], size: (id: string) => Size): Placed {
  const graph = new dagre.graphlib.Graph();
  graph.setGraph({ rankdir: "TB", nodesep: 20, ranksep: 24, edgesep: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const id of children) graph.setNode(id, { width: size(id).width, height: size(id).height });
  const forward = edges.filter((edge) => !edge.back);
  for (const port of [IN, OUT]) if (forward.some((edge) => edge.from === port || edge.to === port)) graph.setNode(port, { width: 1, height: 1 });
  for (const edge of forward) graph.setEdge(edge.from, edge.to, { weight: Math.min(4, edge.edges.length) });
  // A back edge is laid out reversed, unless that edge is there anyway: it keeps its ends near and in order.
  for (const edge of edges) if (edge.back && !graph.hasEdge(edge.to, edge.from)) graph.setEdge(edge.to, edge.from, { weight: 0 });
  dagre.layout(graph);
  const inner = children.map((id) => ({ id, ...(graph.node(id) as { x: number; y: number }) }));
  // dagre centres the boxes of a rank on one height; an edge between them passes the whole height of the tallest.
  const rankHeight = (y: number): number => Math.max(0, ...inner.filter((n) => Math.abs(n.y - y) < 1).map((n) => size(n.id).height));
  const bends = new Map(forward.map((edge) => [edge, bendsOf(graph.edge(edge.from, edge.to) as { points: { x: number; y: number }[] }, rankHeight)]));
  const passing = [...bends.values()].flat().map(([x]) => x);
  const left = Math.min(...inner.map((n) => n.x - size(n.id).width / 2), ...passing, Infinity);
  const right = Math.max(...inner.map((n) => n.x + size(n.id).width / 2), ...passing, -Infinity);
  const top = Math.min(...inner.map((n) => n.y - size(n.id).height / 2), Infinity);
  const bottom = Math.max(...inner.map((n) => n.y + size(n.id).height / 2), -Infinity);
  const titled = group !== "";
  const shiftX = PADDING - left;
  // Edges need a slope to meet at a port.
  const above = PADDING + (graph.hasNode(IN) && children.length > 1 ? PORT_ROOM : 0);
  const below = PADDING + (graph.hasNode(OUT) && children.length > 1 ? PORT_ROOM : 0);
  const shiftY = (titled ? HEADER : 0) + above - top;
  const routes = forward.map((edge) => ({
    edge, bends: bends.get(edge)!.map(([x, y]): Point => [x + shiftX, y + shiftY]),
  }));
  const arcs = edges.some((edge) => edge.back || edge.from === edge.to) ? ARC_ROOM : 0;
  const portX = (port: string): number => (graph.hasNode(port) ? (graph.node(port) as { x: number }).x + shiftX : (right - left) / 2 + PADDING);
  const width = right - left + 2 * PADDING + arcs;
  return {
    width: children.length ? width : CARD.width,
    height: children.length ? bottom - top + above + below + (titled ? HEADER : 0) : HEADER + 2 * PADDING,
    at: new Map(inner.map((n) => [n.id, { x: n.x + shiftX - size(n.id).width / 2, y: n.y + shiftY - size(n.id).height / 2 }])),
    routes,
    portIn: Math.min(width - PADDING, Math.max(PADDING, portX(IN))),
    portOut: Math.min(width - PADDING, Math.max(PADDING, portX(OUT))),
  };
}

/**
 * Where an edge must pass between other boxes. dagre's first and last points lie on the boxes, the next ones halfway to
 * the neighbouring rank, where nothing is in the way: they only make hooks.
 */
const bendsOf = ({ points }: { points: readonly { x: number; y: number }[] }, rankHeight: (y: number) => number): Point[] =>
  points.slice(2, -2).flatMap(({ x, y }): Point[] => {
    const half = rankHeight(y) / 2;
    return half ? [[x, y - half], [x, y + half]] : [[x, y]];
  });

function emit(group: string, x: number, y: number, depth: number, tree: Tree, placed: ReadonlyMap<string, Placed>,
              size: (id: string) => Size, skips: ReadonlySet<number>, boxes: Box[], links: Link[]): void {
  const here = placed.get(group)!;
  for (const id of tree.children.get(group) ?? []) {
    const at = here.at.get(id)!;
    const open = isGroup(id) && tree.open.has(nameOf(id));
    boxes.push({ id, x: x + at.x, y: y + at.y, width: size(id).width, height: size(id).height, depth, open });
    if (open) emit(nameOf(id), x + at.x, y + at.y, depth + 1, tree, placed, size, skips, boxes, links);
  }
  const end = (id: string, bottom: boolean): Point => {
    if (id === IN) return [x + here.portIn, y];
    if (id === OUT) return [x + here.portOut, y + here.height];
    const at = here.at.get(id)!;
    const inner = isGroup(id) ? placed.get(nameOf(id)) : undefined;
    const port = inner ? (bottom ? inner.portOut : inner.portIn) : size(id).width / 2;
    return [x + at.x + port, y + at.y + (bottom ? size(id).height : 0)];
  };
  for (const { edge, bends } of here.routes) {
    const middle = bends.map(([px, py]): Point => [px + x, py + y]);
    const port = (id: string): string | null => (id === IN || id === OUT ? null : id);
    links.push({ kind: edge.edges.every((index) => skips.has(index)) ? "residual" : "forward", points: [end(edge.from, true), ...middle, end(edge.to, false)], from: port(edge.from), to: port(edge.to), edges: edge.edges });
  }
}

function sideArcs(tree: Tree, boxes: readonly Box[]): Link[] {
  const byId = new Map(boxes.map((box) => [box.id, box]));
  const merged = new Map<string, { from: Box; to: Box; edges: number[] }>();
  for (const arc of tree.arcs) {
    const from = byId.get(arc.from);
    const to = byId.get(arc.to);
    if (!from || !to) continue;
    const key = `${arc.from}\n${arc.to}`;
    const known = merged.get(key) ?? { from, to, edges: [] };
    known.edges.push(arc.edge);
    merged.set(key, known);
  }
  return [...merged.values()].map(({ from, to, edges }, order): Link => {
    const [start, end] = [from.y + from.height * 0.65, to.y + to.height * 0.35];
    return {
      kind: "back",
      points: [[from.x + from.width, start], [clearOf(boxes, from, to) + ARC_GAP + (order % 4) * 5, (start + end) / 2], [to.x + to.width, end]],
      from: from.id,
      to: to.id,
      edges,
    };
  });
}

/** The right edge of everything between two boxes, but for the groups that both lie in. */
function clearOf(boxes: readonly Box[], from: Box, to: Box): number {
  const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y + from.height, to.y + to.height)];
  const holds = (outer: Box, inner: Box): boolean =>
    outer !== inner && outer.x <= inner.x && outer.y <= inner.y && outer.x + outer.width >= inner.x + inner.width && outer.y + outer.height >= inner.y + inner.height;
  const between = boxes.filter((box) => box.y < bottom && box.y + box.height > top && !(holds(box, from) && holds(box, to)));
  return Math.max(...between.map((box) => box.x + box.width));
}
