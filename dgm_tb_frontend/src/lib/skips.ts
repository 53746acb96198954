/** Which edges skip layers: their target is also reached by a longer way. */

export interface Edge {
  readonly source: string;
  readonly target: string;
  readonly back: boolean;
}

/** Indices of the residual edges; those that close a cycle take no part. `order` is the nodes' order of first call. */
export function skippingEdges(order: readonly string[], edges: readonly Edge[]): ReadonlySet<number> {
  const place = new Map(order.map((name, index) => [name, index]));
  const targets = new Map<string, string[]>();
  for (const edge of edges) if (!edge.back) targets.set(edge.source, [...(targets.get(edge.source) ?? []), edge.target]);
  const out = new Set<number>();
  edges.forEach((edge, index) => {
    if (!edge.back && reachedOtherwise(edge, targets, place)) out.add(index);
  });
  return out;
}

function reachedOtherwise(edge: Edge, targets: ReadonlyMap<string, readonly string[]>, place: ReadonlyMap<string, number>): boolean {
  const end = place.get(edge.target) ?? Infinity;
  const seen = new Set<string>();
  const queue = (targets.get(edge.source) ?? []).filter((name) => name !== edge.target);
  while (queue.length) {
    const at = queue.pop()!;
    if (at === edge.target) return true;
    // Data flow from earlier calls to later ones: what is called after the target cannot lead to it.
    if (seen.has(at) || (place.get(at) ?? -1) > end) continue;
    seen.add(at);
    queue.push(...(targets.get(at) ?? []));
  }
  return false;
}
