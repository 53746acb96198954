/** Which layers lie before and after a target, and how far: columns of the credit's picture in data-flow order (pure). */

import type { GraphEdge } from "../api/types";

/** Node → the nodes it is fed by (or feeds), through whatever is not among them, such as functional ops. */
type Links = ReadonlyMap<string, readonly string[]>;

export interface Flow {
  /** Columns from the target outwards: the nearest layers first. */
  readonly ranks: readonly (readonly string[])[];
  /** Pairs of nodes of which the first feeds the second, the target included. */
  readonly edges: readonly (readonly [from: string, to: string])[];
}

/**
 * Layers by their longest way to the target, among `nodes` that hold credit. What the graph does not connect, or without
 * a graph all, stands by its order of call: one column a layer.
 */
export function flow(edges: readonly GraphEdge[], order: readonly string[], nodes: ReadonlySet<string>, target: string, side: "before" | "after"): Flow {
  const shown = new Set([...nodes, target]);
  const links = contracted(edges, shown, side);
  const distance = distances(links, target);
  const ranks: string[][] = [];
  for (const name of order) {
    const far = distance.get(name);
    if (far && nodes.has(name) && name !== target) (ranks[far - 1] ??= []).push(name);
  }
  const placed = ranks.filter((rank) => rank?.length);
  const at = order.indexOf(target);
  const lost = order.filter((name, k) => nodes.has(name) && name !== target && !distance.has(name) && (side === "before" ? k < at || at < 0 : k > at));
  // The nearest first: before a target that is the one called last.
  const rest = (side === "before" ? [...lost].reverse() : lost).map((name) => [name]);
  const chain = [[target], ...placed, ...rest];
  const joined = rest.map(([name], k) => [name!, chain[placed.length + k]![0]!] as const);
  const known = [...links].flatMap(([to, from]) => (distance.has(to) ? from.map((name) => [name, to] as const) : []));
  const pairs = [...known, ...joined];
  return { ranks: [...placed, ...rest], edges: side === "before" ? pairs : pairs.map(([a, b]) => [b, a] as const) };
}

/** For `before`, of each node those that feed it; for `after`, those that it feeds; through nodes that are not shown. */
function contracted(edges: readonly GraphEdge[], shown: ReadonlySet<string>, side: "before" | "after"): Links {
  const next = new Map<string, string[]>();
  for (const { source, target, back } of edges) {
    const [of, to] = side === "before" ? [target, source] : [source, target];
    if (!back) next.set(of, [...(next.get(of) ?? []), to]);
  }
  const out = new Map<string, string[]>();
  for (const name of shown) {
    const found = new Set<string>();
    const seen = new Set<string>([name]);
    const stack = [...(next.get(name) ?? [])];
    for (let at = stack.pop(); at !== undefined; at = stack.pop()) {
      if (seen.has(at)) continue;
      seen.add(at);
      if (shown.has(at)) found.add(at);
      else stack.push(...(next.get(at) ?? []));
    }
    out.set(name, [...found]);
  }
  return out;
}

/** Longest way from the target along the links; a cycle that is not marked as one is cut where it closes. */
function distances(links: Links, target: string): Map<string, number> {
  const reached = new Set<string>();
  const order: string[] = [];
  const visit = (name: string): void => {
    if (reached.has(name)) return;
    reached.add(name);
    for (const other of links.get(name) ?? []) visit(other);
    order.push(name);
  };
  visit(target);
  const place = new Map(order.map((name, k) => [name, k]));
  const far = new Map<string, number>([[target, 0]]);
  for (const name of order.reverse()) {
    for (const other of links.get(name) ?? []) {
      if (place.get(other)! < place.get(name)!) far.set(other, Math.max(far.get(other) ?? 0, far.get(name)! + 1));
    }
  }
  return far;
}
