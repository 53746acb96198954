import { describe, expect, it } from "vitest";
import { WHOLE } from "./atoms";
import { DEFAULT_LINK, type LinkState, readHash, writeHash } from "./hash";

const FULL: LinkState = {
  run: "a/b=c&d ü", quantity: "weight_gradient", statistic: "zero_fraction", scale: "robust", program: "backward#1", focus: 0, range: [3, 700], window: 7,
  open: new Set(["enc.b,0", "dec"]), node: "dec.conv#1", units: [5, 0, 511], lines: 500,
  cause: { method: "change", from: 1200, to: 1303, batch: "same", of: "gradient" },
  trail: [{ node: "enc:a;b", units: [1, 300] }, { node: "dec", units: [] }],
};

describe("the hash", () => {
  it("says back what was written", () => {
    const plain = { ...FULL, open: new Set(["dec", "enc"]) };
    expect(readHash(writeHash("#dgm", plain))).toEqual(plain);
    expect(readHash(writeHash("", DEFAULT_LINK))).toEqual(DEFAULT_LINK);
  });

  it("says the whole run in a word", () => {
    const hash = writeHash("", { ...DEFAULT_LINK, range: WHOLE });
    expect([hash, readHash(hash).range]).toEqual(["#p.dgm.range=whole", WHOLE]);
  });

  it("tells no open group from the default depth", () => {
    expect(readHash(writeHash("", { ...DEFAULT_LINK, open: new Set() })).open).toEqual(new Set());
    expect(readHash("#dgm").open).toBeNull();
  });

  it("leaves TensorBoard's own keys where they are, and writes no defaults", () => {
    expect(writeHash("#dgm&p.dgm.node=old&p.other.x=1&tag=%5B", DEFAULT_LINK)).toBe("#dgm&p.other.x=1&tag=%5B");
    expect(writeHash("#dgm", { ...DEFAULT_LINK, focus: 0 })).toBe("#dgm&p.dgm.focus=0");
  });

  it.each(["p.dgm.quantity=soul", "p.dgm.scale=", "p.dgm.focus=x", "p.dgm.range=9", "p.dgm.range=9,3", "p.dgm.window=0", "p.dgm.window=1e9", "p.dgm.lines=NaN", "p.dgm.cause=soul,1", "p.dgm.node", "p.dgm.=", "%", "p.dgm.run=%E0%A4%A"])(
    "falls back to the default for %s", (part) => {
      const { run, ...rest } = readHash(`#dgm&${part}`);
      const { run: _, ...defaults } = DEFAULT_LINK;
      expect(rest).toEqual(defaults);
      expect(run === null || part.includes("run")).toBe(true);
    });

  it("keeps the last stops of a way that is too long for an address", () => {
    const stops = Array.from({ length: 12 }, (_, k) => ({ node: `encoder.layer${k}`, units: Array.from({ length: 40 }, (_, unit) => unit) }));
    const hash = writeHash("", { ...DEFAULT_LINK, trail: stops });
    expect(hash.length).toBeLessThan(2000);
    const kept = readHash(hash).trail;
    expect(kept.length).toBeGreaterThan(3);
    expect(kept).toEqual(stops.slice(-kept.length));
  });

  it("drops stops that are none", () => {
    expect(readHash("#p.dgm.trail=a:1;b;:3;;c:x,2").trail).toEqual([{ node: "a", units: [1] }, { node: "c", units: [2] }]);
  });

  it("drops units that are none", () => {
    expect(readHash("#p.dgm.units=1,x,-2,3.5,7,").units).toEqual([1, 7]);
  });
});
