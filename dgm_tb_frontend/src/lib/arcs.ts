/** Edges that close a cycle: arcs along the right side of what they pass, inside the group that holds both ends. */

import { isGroup } from "./hierarchy";
import type { Box, Link, Point } from "./layout";
import type { Tree } from "./tree";

/** Arcs keep this far from what they pass, and from each other. */
const GAP = 12;
const APART = 5;

export function sideArcs(tree: Tree, boxes: readonly Box[], links: readonly Link[]): Link[] {
  const bends = links.flatMap((link) => link.points.slice(1, -1));
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
    const loop = from === to;
    const [start, end] = [from.y + from.height * (loop ? 0.85 : 0.65), to.y + to.height * (loop ? 0.2 : 0.35)];
    // A loop on one box stays in the room around it.
    const side = loop ? from.x + from.width + GAP - 2 : clearOf(boxes, bends, from, to) + GAP + (order % 4) * APART;
    return { kind: "back", points: [[from.x + from.width, start], [side, (start + end) / 2], [to.x + to.width, end]], from: from.id, to: to.id, edges };
  });
}

const holds = (outer: Box, inner: Box): boolean =>
  outer !== inner && outer.x <= inner.x && outer.y <= inner.y && outer.x + outer.width >= inner.x + inner.width && outer.y + outer.height >= inner.y + inner.height;

/** The right edge of everything between two boxes inside the innermost open group that holds both. */
function clearOf(boxes: readonly Box[], bends: readonly Point[], from: Box, to: Box): number {
  const around = boxes.filter((box) => isGroup(box.id) && box.open && holds(box, from) && holds(box, to));
  const home = around.reduce<Box | null>((best, box) => (!best || box.depth > best.depth ? box : best), null);
  const [top, bottom] = [Math.min(from.y, to.y), Math.max(from.y + from.height, to.y + to.height)];
  const between = boxes.filter((box) => box.y < bottom && box.y + box.height > top && !around.includes(box) && (!home || holds(home, box)));
  const lanes = bends.filter(([x, y]) => y >= top && y <= bottom && (!home || (x > home.x && x < home.x + home.width))).map(([x]) => x);
  return Math.max(...between.map((box) => box.x + box.width), ...lanes);
}
