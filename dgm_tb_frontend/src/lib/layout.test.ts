import { describe, expect, it } from "vitest";
import type { GraphReply } from "../api/types";
import { type Box, layout, LayoutCache, type LayoutInput } from "./layout";
import { stack } from "./stack.fixture";

const input = (graph: GraphReply, open: readonly string[]): LayoutInput =>
  ({ nodes: graph.nodes.map(({ name, group }) => ({ name, group, compact: name === "input" })), groups: graph.groups, edges: graph.edges, open });
const everything = (graph: GraphReply): string[] => graph.groups.map((group) => group.name);
const overlap = (a: Box, b: Box): boolean => a.x < b.x + b.width && b.x < a.x + a.width && a.y < b.y + b.height && b.y < a.y + a.height;

const diamond: LayoutInput = {
  nodes: ["a", "b", "c", "d"].map((name) => ({ name, group: "", compact: false })), groups: [], open: [],
  edges: [["a", "b"], ["b", "c"], ["a", "c"], ["c", "d"]].map(([source, target]) => ({ source: source!, target: target!, back: false })).concat({ source: "d", target: "b", back: true }),
};

describe("layout", () => {
  it("keeps siblings apart and children inside their group", () => {
    const graph = stack(4, 3);
    const { boxes } = layout(input(graph, everything(graph)), new LayoutCache());
    const closed = boxes.filter((box) => !box.open);
    expect(closed).toHaveLength(graph.nodes.length);
    for (const a of closed) for (const b of closed) if (a !== b) expect(overlap(a, b), `${a.id} ${b.id}`).toBe(false);
    const of = new Map(boxes.map((box) => [box.id, box]));
    for (const { name, group } of graph.nodes) {
      const [inner, outer] = [of.get(`n:${name}`)!, of.get(`g:${group}`)];
      if (!outer) continue;
      expect(inner.x).toBeGreaterThan(outer.x);
      expect(inner.y).toBeGreaterThan(outer.y);
      expect(inner.x + inner.width).toBeLessThan(outer.x + outer.width);
      expect(inner.y + inner.height).toBeLessThan(outer.y + outer.height);
    }
  });

  it("lets data flow downwards", () => {
    const graph = stack(3, 2);
    const { boxes, links } = layout(input(graph, everything(graph)), new LayoutCache());
    const of = new Map(boxes.map((box) => [box.id, box]));
    for (const { source, target } of graph.edges) expect(of.get(`n:${source}`)!.y).toBeLessThan(of.get(`n:${target}`)!.y);
    for (const { points } of links) for (let i = 1; i < points.length; i++) expect(points[i]![1]).toBeGreaterThanOrEqual(points[i - 1]![1]);
  });

  it("joins the pieces of an edge across group borders without a gap", () => {
    const graph = stack(2, 2);
    const { links } = layout(input(graph, everything(graph)), new LayoutCache());
    graph.edges.forEach((_, index) => {
      const pieces = links.filter((link) => link.edges.includes(index));
      const ends = pieces.flatMap((link) => [link.points[0]!, link.points[link.points.length - 1]!]).map((p) => p.map((v) => v.toFixed(3)).join());
      // Every inner end meets another piece; only the two real ends stand alone.
      const alone = ends.filter((end) => ends.filter((other) => other === end).length === 1);
      expect(alone).toHaveLength(2);
    });
  });

  it("tells skips and feedback from the plain flow", () => {
    const { links } = layout(diamond, new LayoutCache());
    const kind = (from: string, to: string): string | undefined => links.find((link) => link.from === `n:${from}` && link.to === `n:${to}`)?.kind;
    expect([kind("a", "c"), kind("a", "b"), kind("b", "c"), kind("c", "d"), kind("d", "b")]).toEqual(["residual", "forward", "forward", "forward", "back"]);
  });

  it("draws a loop on one node, and an edge into a closed group once", () => {
    const graph = stack(2, 1);
    const loop: LayoutInput = { ...input(graph, []), edges: [...graph.edges, { source: "input", target: "input", back: true }] };
    const { links, boxes } = layout(loop, new LayoutCache());
    expect(boxes.map((box) => box.id).sort()).toEqual(["g:net", "n:input"]);
    expect(links.map(({ kind, from, to }) => [kind, from, to])).toEqual([["forward", "n:input", "g:net"], ["back", "n:input", "n:input"]]);
  });

  it("ignores edges to nodes that are not there", () => {
    expect(layout({ ...diamond, edges: [{ source: "a", target: "nowhere", back: false }] }, new LayoutCache()).links).toEqual([]);
    expect(layout({ nodes: [], groups: [], edges: [], open: [] }, new LayoutCache()).boxes).toEqual([]);
  });
});

describe("LayoutCache", () => {
  it("lays out only the opened group and those around it", () => {
    const graph = stack(20, 2);
    const cache = new LayoutCache();
    const open = ["net", ...graph.groups.filter((g) => g.parent === "net").map((g) => g.name)];
    layout(input(graph, open), cache);
    const before = cache.runs;
    layout(input(graph, [...open, "net.b7.inner"]), cache);
    expect(cache.runs - before).toBe(4);
    layout(input(graph, open), cache);
    expect(cache.runs - before).toBe(4);
  });

  it("changes nothing about the result", () => {
    const graph = stack(6, 3);
    const cache = new LayoutCache();
    const first = layout(input(graph, everything(graph)), cache);
    expect(layout(input(graph, everything(graph)), cache)).toEqual(first);
    expect(layout(input(graph, everything(graph)), new LayoutCache())).toEqual(first);
  });
});
