/** A made-up network for tests: blocks in a row, each holding `depth` nested groups. */

import type { GraphNode, GraphReply } from "../api/types";

const node = (name: string, group: string): GraphNode =>
  ({ name, group, module_type: "Linear", units: 4, programs: [], quantities: ["activation"], parameters: 0, shape: [], calls: 1, kind: "module", role: "" });

export function stack(blocks: number, depth: number): GraphReply {
  const nodes = [node("input", "")];
  const groups = [{ name: "net", module_type: "Net", parent: "" }];
  for (let b = 0; b < blocks; b++) {
    let parent = "net";
    for (let d = 0; d < depth; d++) {
      const name = `${parent}.${d ? "inner" : `b${b}`}`;
      groups.push({ name, module_type: "Block", parent });
      nodes.push(node(`${name}.lin`, name), node(`${name}.act`, name));
      parent = name;
    }
  }
  const edges = nodes.slice(1).map((target, i) => ({ source: nodes[i]!.name, target: target.name, back: false }));
  return { id: "g", step: 0, nodes, edges, groups, programs: {} };
}
