import { describe, expect, it } from "vitest";
import type { Credit } from "../api/credit";
import { creditTable } from "./credittable";

const values = (...list: number[]): Float32Array => Float32Array.from(list);
const CREDIT: Credit = {
  state: "done", step: 20, previous: 10, program: "backward#0", nodes: 9, converged: true, before: 1, after: 5, gap: 0.5, noise: 0.25, discrete: 0,
  units: new Map([["a,\"b", values(3, -1)], ["=head", values(4)]]), maps: new Map(), parameters: new Map([["w", values(2)]]), buffers: new Map(),
  inputs: new Map([["x", { shape: [2, 2], data: values(1, 2, 3, NaN) }]]), samples: values(4, 0),
};

describe("the table of a credit", () => {
  it("has a row for every part, with its share of the change", () => {
    expect(creditTable(CREDIT, null, "=head").split("\r\n")).toEqual([
      "kind,node,index,credit,share",
      'unit,"a,""b",0,3,0.75', 'unit,"a,""b",1,-1,-0.25', "unit,'=head,0,4,1", "parameter,w,0,2,0.5", "input,x,0,3,0.75", "input,x,1,,", "sample,,0,4,1", "sample,,1,0,0",
      "noise,,,0.25,0.0625", "labels,,,0,0", "unaccounted,,,-0.5,-0.125", "",
    ]);
  });

  it("tells later units as parts of the gradient, the target itself not", () => {
    const later = { ...CREDIT, units: new Map([["=head", values(2, 2)], ["end", values(1, 3)]]) };
    expect(creditTable(CREDIT, later, "=head").split("\r\n").slice(-3)).toEqual(["later unit,end,0,1,0.25", "later unit,end,1,3,0.75", ""]);
  });

  it("has no shares where there is no change", () => {
    expect(creditTable({ ...CREDIT, after: 1 }, null, "a").split("\r\n")[4]).toBe("parameter,w,0,2,");
  });
});
