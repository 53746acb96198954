import { describe, expect, it } from "vitest";
import { flow } from "./flow";

const edge = (pair: string): { source: string; target: string; back: boolean } => {
  const [source, target] = pair.replace("~", "").split(">");
  return { source: source!, target: target!, back: pair.startsWith("~") };
};
const VAE = ["x>conv1", "conv1>mean", "conv1>var", "mean>sample", "var>exp", "exp>sample", "sample>conv2", "conv2>head", "conv2>other", "head>loss", "conv1>conv2", "~head>conv1"].map(edge);
const ORDER = ["x", "conv1", "mean", "var", "exp", "sample", "conv2", "head", "other", "loss"];

describe("the layers before", () => {
  it("stand by their longest way to the target, through what has no units", () => {
    const { ranks, edges } = flow(VAE, ORDER, new Set(["conv1", "mean", "var", "sample", "conv2"]), "head", "before");
    expect(ranks).toEqual([["conv2"], ["sample"], ["mean", "var"], ["conv1"]]);
    expect(edges).toContainEqual(["var", "sample"]);
    expect(edges).toContainEqual(["conv1", "conv2"]);
    expect(edges).toContainEqual(["conv2", "head"]);
    expect(edges.some(([from]) => from === "head")).toBe(false);
  });

  it("leave out those beside it and after it, and those without a part", () => {
    expect(flow(VAE, ORDER, new Set(["conv1", "sample"]), "conv2", "before").ranks).toEqual([["sample"], ["conv1"]]);
  });
});

describe("the layers after", () => {
  it("stand by their longest way from the target", () => {
    const { ranks, edges } = flow(VAE, ORDER, new Set(["sample", "conv2", "head", "other"]), "conv1", "after");
    expect(ranks).toEqual([["sample"], ["conv2"], ["head", "other"]]);
    expect(edges).toContainEqual(["conv1", "sample"]);
  });
});

describe("without a graph", () => {
  it("layers stand by their order of call", () => {
    const all = new Set(["a", "b", "c", "d"]);
    const before = flow([], ["a", "b", "c", "d"], all, "c", "before");
    expect(before.ranks).toEqual([["b"], ["a"]]);
    expect(before.edges).toEqual([["b", "c"], ["a", "b"]]);
    expect(flow([], ["a", "b", "c", "d"], all, "b", "after").ranks).toEqual([["c"], ["d"]]);
  });

  it("a cycle that is not marked does not hang", () => {
    const edges = ["a>b", "b>a", "b>c"].map(edge);
    expect(flow(edges, ["a", "b", "c"], new Set(["a", "b"]), "c", "before").ranks.flat().sort()).toEqual(["a", "b"]);
  });
});
