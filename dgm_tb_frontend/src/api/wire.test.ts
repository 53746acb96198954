import { describe, expect, it } from "vitest";
import golden from "../../../tests/golden/dgm1.bin?inline";
import spelled from "../../../tests/golden/dgm1.json";
import { decode, WireError } from "./wire";

const bytes = (url: string): ArrayBuffer => Uint8Array.from(atob(url.slice(url.indexOf(",") + 1)), (c) => c.charCodeAt(0)).buffer as ArrayBuffer;
const numbers = (data: readonly (number | string)[]): number[] => data.map(Number);

describe("decode", () => {
  it("reads what the server's encoder wrote", () => {
    const message = decode(bytes(golden));
    const { arrays, ...header } = message.header as { arrays: unknown };
    expect(header).toEqual(spelled.header);
    for (const [name, array] of Object.entries(spelled.arrays)) {
      expect(message.arrays.get(name)?.shape, name).toEqual(array.shape);
      expect([...message.arrays.get(name)!.data], name).toEqual(numbers(array.data));
    }
    expect([...message.arrays.keys()].sort()).toEqual(Object.keys(spelled.arrays).sort());
    expect(arrays).toBeDefined();
  });

  it("copies nothing", () => {
    const buffer = bytes(golden);
    for (const { data } of decode(buffer).arrays.values()) expect(data.buffer).toBe(buffer);
  });

  it("refuses every cut of a reply", () => {
    const whole = new Uint8Array(bytes(golden));
    const last = Math.max(...Object.values(decode(whole.buffer).header["arrays"] as Record<string, { offset: number }>).map((a) => a.offset));
    for (let length = 0; length <= last; length += 1) expect(() => decode(whole.slice(0, length).buffer), `${length} bytes`).toThrow();
  });

  it("refuses another magic and an unknown dtype", () => {
    const other = new Uint8Array(bytes(golden).slice(0));
    other[3] = 50;
    expect(() => decode(other.buffer)).toThrow(WireError);
    const text = JSON.stringify({ arrays: { x: { dtype: "c8", shape: [1], offset: 0 } } }).padEnd(64);
    const reply = new Uint8Array(8 + 64 + 16);
    reply.set(new TextEncoder().encode("DGM1"));
    new DataView(reply.buffer).setUint32(4, 64, true);
    reply.set(new TextEncoder().encode(text), 8);
    expect(() => decode(reply.buffer)).toThrow(/dtype c8/);
  });
});
