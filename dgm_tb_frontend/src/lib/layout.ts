/**
 * Where the boxes and edges of the data-flow graph stand: one dagre run per open group, bottom-up, cached.
 *
 * An edge between groups is laid out between siblings under their lowest common ancestor; inside each group on its way
 * it runs to a port on the group's border. Edges that close a cycle take no part in ranking and are drawn as side arcs.
 */

import dagre from "@dagrejs/dagre";
import { isGroup, nameOf } from "./hierarchy";
import { sideArcs } from "./arcs";
import { Lanes, type Obstacle, straighten } from "./lanes";
import { skippingEdges } from "./skips";
import { IN, type LayoutInput, OUT, type SiblingEdge, Tree } from "./tree";

export type { LayoutInput } from "./tree";

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
const ARC_ROOM = 24;
const PORT_ROOM = 8;

interface Placed {
  readonly width: number;
  readonly height: number;
  readonly at: ReadonlyMap<string, { x: number; y: number }>;
  readonly routes: readonly { edge: SiblingEdge; bends: readonly Point[] }[];
  readonly portIn: number;
  readonly portOut: number;
}

/** An open group's edges go on at its ports, those of other boxes at their middle. */
type Size = { readonly width: number; readonly height: number; readonly portIn?: number; readonly portOut?: number };

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
  const arcs = sideArcs(tree, boxes, links);
  const right = Math.max(root.width, ...arcs.map((arc) => arc.points[1]![0] + PADDING));
  return { width: right, height: root.height, boxes, links: [...links, ...arcs] };
}

function placeGroup(group: string, tree: Tree, size: (id: string) => Size, cache: LayoutCache): Placed {
  const children = tree.children.get(group) ?? [];
  const edges = [...(tree.siblings.get(group)?.values() ?? [])];
  const key = JSON.stringify([group, children.map((id) => [id, size(id).width, size(id).height, size(id).portIn, size(id).portOut]), edges]);
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
  graph.setGraph({ rankdir: "TB", nodesep: 20, ranksep: 28, edgesep: 12 });
  graph.setDefaultEdgeLabel(() => ({}));
  for (const id of children) graph.setNode(id, { width: size(id).width, height: size(id).height });
  const forward = edges.filter((edge) => !edge.back);
  for (const port of [IN, OUT]) if (forward.some((edge) => edge.from === port || edge.to === port)) graph.setNode(port, { width: 1, height: 1 });
  for (const edge of forward) graph.setEdge(edge.from, edge.to, { weight: Math.min(4, edge.edges.length) });
  // A back edge is laid out reversed, unless that edge is there anyway: it keeps its ends near and in order.
  for (const edge of edges) if (edge.back && !graph.hasEdge(edge.to, edge.from)) graph.setEdge(edge.to, edge.from, { weight: 0 });
  dagre.layout(graph);
  const placed = children.map((id) => ({ id, ...(graph.node(id) as { x: number; y: number }) }));
  // dagre centres the boxes of a rank on one height; an edge between them passes the whole height of the tallest.
  const rankHeight = (y: number): number => Math.max(0, ...placed.filter((n) => Math.abs(n.y - y) < 1).map((n) => size(n.id).height));
  // A port stands on the border, beyond the boxes of its own rank: its edges pass them.
  const beside = (id: string): Point[] => {
    const { x, y } = graph.node(id) as { x: number; y: number };
    const half = id === IN || id === OUT ? rankHeight(y) / 2 : 0;
    return half ? [[x, y - half], [x, y + half]] : [];
  };
  const dagreBends = new Map(forward.map((link) =>
    [link, [...beside(link.from), ...bendsOf(graph.edge(link.from, link.to) as { points: { x: number; y: number }[] }, rankHeight), ...beside(link.to)]]));
  const inner = placed.map((n) => ({ ...n, y: n.y + leaning(n.id, forward) * (rankHeight(n.y) - size(n.id).height) / 2 }));
  const obstacles = new Map(inner.map(({ id, x, y }) => {
    const { width, height } = size(id);
    return [id, { left: x - width / 2, right: x + width / 2, top: y - height / 2, bottom: y + height / 2 }];
  }));
  const bends = lanes(forward, dagreBends, obstacles, size, (port) => graph.node(port) as { x: number; y: number });
  const passing = [...bends.values()].flat().map(([x]) => x);
  const edge = (side: "left" | "right" | "top" | "bottom", most: (...values: number[]) => number, none: number): number => most(...[...obstacles.values()].map((box) => box[side]), none);
  const [left, right] = [Math.min(edge("left", Math.min, Infinity), ...passing), Math.max(edge("right", Math.max, -Infinity), ...passing)];
  const [top, bottom] = [edge("top", Math.min, Infinity), edge("bottom", Math.max, -Infinity)];
  const titled = group !== "";
  const shiftX = PADDING - left;
  // Edges need a slope to meet at a port.
  const above = PADDING + (graph.hasNode(IN) && children.length > 1 ? PORT_ROOM : 0);
  const below = PADDING + (graph.hasNode(OUT) && children.length > 1 ? PORT_ROOM : 0);
  const shiftY = (titled ? HEADER : 0) + above - top;
  const routes = forward.map((link) => ({
    edge: link, bends: bends.get(link)!.map(([x, y]): Point => [x + shiftX, y + shiftY]),
  }));
  const arcs = edges.some((link) => link.back) ? ARC_ROOM : 0;
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

/** What only gives stands near its receivers, at the foot of a tall rank; what only takes at its head. */
function leaning(id: string, edges: readonly SiblingEdge[]): number {
  const [takes, gives] = [edges.some((edge) => edge.to === id), edges.some((edge) => edge.from === id)];
  return takes === gives ? 0 : gives ? 1 : -1;
}

/** How far beyond the boxes a lane may lie, pixels. */
const OUTSIDE = 48;

/** Every edge's bends, those that pass others straightened; short edges first, so that they lie inside long ones. */
function lanes(edges: readonly SiblingEdge[], bends: ReadonlyMap<SiblingEdge, readonly Point[]>, obstacles: ReadonlyMap<string, Obstacle>,
               size: (id: string) => Size, port: (id: string) => { x: number; y: number }): ReadonlyMap<SiblingEdge, readonly Point[]> {
  const taken = new Lanes();
  const boxes = [...obstacles.values()];
  const [left, right] = [Math.min(...boxes.map((box) => box.left)) - OUTSIDE, Math.max(...boxes.map((box) => box.right)) + OUTSIDE];
  const end = (id: string, foot: boolean): Point => {
    const box = obstacles.get(id);
    if (!box) return [port(id).x, port(id).y];
    const { width, portIn, portOut } = size(id);
    return [box.left + ((foot ? portOut : portIn) ?? width / 2), foot ? box.bottom : box.top];
  };
  const order = [...edges].sort((a, b) => bends.get(a)!.length - bends.get(b)!.length);
  return new Map(order.map((edge) => [edge, straighten(end(edge.from, true), end(edge.to, false), bends.get(edge)!, boxes, taken, left, right)]));
}

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
