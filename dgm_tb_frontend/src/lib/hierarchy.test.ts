import { describe, expect, it } from "vitest";
import { buildHierarchy, groupsAround, initialExpansion, representative, visibleLeaves } from "./hierarchy";
import { stack } from "./stack.fixture";

describe("buildHierarchy", () => {
  const tree = buildHierarchy(stack(3, 2));

  it("knows members of every group, innermost to outermost", () => {
    expect(tree.members.get("net")).toHaveLength(12);
    expect(tree.members.get("net.b1.inner")).toEqual(["net.b1.inner.lin", "net.b1.inner.act"]);
    expect(groupsAround(tree, "net.b1.inner.lin")).toEqual(["net.b1.inner", "net.b1", "net"]);
    expect(groupsAround(tree, "input")).toEqual([]);
  });

  it("shows a node by the outermost closed group around it", () => {
    expect(representative(tree, new Set(["net"]), "net.b1.inner.lin")).toBe("g:net.b1");
    expect(representative(tree, new Set(["net.b1"]), "net.b1.inner.lin")).toBe("g:net");
    expect(representative(tree, new Set(["net", "net.b1", "net.b1.inner"]), "net.b1.inner.lin")).toBe("n:net.b1.inner.lin");
  });

  it("shows each node exactly once, whatever is open", () => {
    for (const open of [[], ["net"], ["net", "net.b0"], ["net", "net.b0", "net.b0.inner", "net.b2"]]) {
      const leaves = visibleLeaves(tree, new Set(open));
      const shown = new Set([...tree.nodes.keys()].map((name) => representative(tree, new Set(open), name)));
      expect(new Set(leaves)).toEqual(shown);
      expect(leaves).toHaveLength(shown.size);
    }
  });

  it("takes a group that is named nowhere for the top, and the module itself for no box", () => {
    const graph = { ...stack(1, 1), groups: [{ name: "", module_type: "Vae", parent: "" }] };
    expect(buildHierarchy(graph).children.get("")).toEqual(["n:input", "n:net.b0.lin", "n:net.b0.act"]);
  });
});

describe("initialExpansion", () => {
  it("opens everything that fits, and no more than the cap shows", () => {
    const small = buildHierarchy(stack(2, 2));
    expect(visibleLeaves(small, initialExpansion(small, 60))).toHaveLength(9);
    const large = buildHierarchy(stack(80, 3));
    for (const cap of [20, 60, 120, 300]) {
      const leaves = visibleLeaves(large, initialExpansion(large, cap));
      expect(leaves.length).toBeLessThanOrEqual(Math.max(cap, 2));
    }
    expect(visibleLeaves(large, initialExpansion(large, 120)).length).toBeGreaterThan(80);
  });
});
