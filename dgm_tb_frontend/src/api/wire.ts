/** The `DGM1` container: one JSON header and aligned little-endian arrays (dgm_tb/plugin/http_api.md). */

export type WireArray = Float32Array | Float64Array | Uint32Array | Int32Array | Uint8Array;

export interface WireMessage {
  readonly header: Readonly<Record<string, unknown>>;
  readonly arrays: ReadonlyMap<string, { readonly shape: readonly number[]; readonly data: WireArray }>;
}

export class WireError extends Error {}

const MAGIC = "DGM1";

type View = (buffer: ArrayBuffer, offset: number, length: number) => WireArray;
const VIEWS: Readonly<Record<string, readonly [bytes: number, view: View]>> = {
  f4: [4, (buffer, offset, length) => new Float32Array(buffer, offset, length)],
  f8: [8, (buffer, offset, length) => new Float64Array(buffer, offset, length)],
  u4: [4, (buffer, offset, length) => new Uint32Array(buffer, offset, length)],
  i4: [4, (buffer, offset, length) => new Int32Array(buffer, offset, length)],
  u1: [1, (buffer, offset, length) => new Uint8Array(buffer, offset, length)],
};

interface ArrayEntry {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly offset: number;
}

/** Decodes a reply; its arrays are views of `buffer`, nothing is copied. Throws `WireError` on anything malformed. */
export function decode(buffer: ArrayBuffer): WireMessage {
  if (buffer.byteLength < 8) throw new WireError(`a DGM1 reply has at least 8 bytes, this one ${buffer.byteLength}`);
  const magic = String.fromCharCode(...new Uint8Array(buffer, 0, 4));
  if (magic !== MAGIC) throw new WireError(`a DGM1 reply begins with ${MAGIC}, this one with ${JSON.stringify(magic)}`);
  const length = new DataView(buffer).getUint32(4, true);
  const start = 8 + length;
  if (start % 8 !== 0 || start > buffer.byteLength) throw new WireError(`the header's length ${length} does not fit the reply`);
  const header = JSON.parse(new TextDecoder().decode(new Uint8Array(buffer, 8, length))) as Record<string, unknown>;
  const entries = Object.entries((header["arrays"] ?? {}) as Record<string, ArrayEntry>);
  return { header, arrays: new Map(entries.map(([name, entry]) => [name, view(buffer, start, name, entry)])) };
}

function view(buffer: ArrayBuffer, start: number, name: string, entry: ArrayEntry): { shape: readonly number[]; data: WireArray } {
  const known = VIEWS[entry.dtype];
  if (!known) throw new WireError(`array ${name} has the unknown dtype ${entry.dtype}`);
  const [bytes, make] = known;
  const count = entry.shape.reduce((product, size) => product * size, 1);
  const end = start + entry.offset + count * bytes;
  if (entry.offset % 8 !== 0 || end > buffer.byteLength) throw new WireError(`array ${name} does not fit the reply`);
  return { shape: entry.shape, data: make(buffer, start + entry.offset, count) };
}
