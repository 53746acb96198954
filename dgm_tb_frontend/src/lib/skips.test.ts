import { expect, it } from "vitest";
import { skippingEdges } from "./skips";

it("agrees with the longest way between the ends on random flows", () => {
  let seed = 3;
  const random = (): number => (seed = (seed * 16807) % 2147483647) / 2147483647;
  for (let round = 0; round < 40; round++) {
    const names = Array.from({ length: 9 }, (_, i) => `n${i}`);
    const edges = names.flatMap((source, i) => names.slice(i + 1).filter(() => random() < 0.3).map((target) => ({ source, target, back: false })));
    const longest = (from: string, to: string): number =>
      from === to ? 0 : Math.max(-Infinity, ...edges.filter((e) => e.source === from).map((e) => 1 + longest(e.target, to)));
    const expected = edges.flatMap((edge, i) => (longest(edge.source, edge.target) > 1 ? [i] : []));
    expect([...skippingEdges(names, edges)]).toEqual(expected);
  }
});

it("leaves out edges that close a cycle", () => {
  const edges = [{ source: "a", target: "b", back: false }, { source: "b", target: "a", back: true }, { source: "b", target: "b", back: true }];
  expect([...skippingEdges(["a", "b"], edges)]).toEqual([]);
});
