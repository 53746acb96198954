/** Credit as it is shown: the strongest units of a column as tiles, the rest in two piles, shares of the strongest (pure). */

import { clusters, type Maps } from "./clusters";

export interface Tile {
  readonly node: string;
  readonly unit: number;
  /** In the target's own unit. */
  readonly credit: number;
  /** Of the strongest of its column, in [−1, 1]. */
  readonly share: number;
  /** The units of its layer that have a tile and a map like its own, itself included, the strongest first. */
  readonly alike: readonly number[];
}

/** Units that are too weak for a tile of their own and push the same way. */
export interface Pile {
  readonly node: string;
  readonly way: "up" | "down";
  /** The strongest first. */
  readonly units: readonly number[];
  readonly sum: number;
  /** Of the strongest unit of its column, in [−1, 1]. */
  readonly share: number;
}

export interface Block {
  readonly node: string;
  readonly units: number;
  /** What passes through the layer altogether. */
  readonly sum: number;
  /** The strongest: those alike together, what pushes up first. */
  readonly tiles: readonly Tile[];
  /** All other units that have a part: those that push up and those that pull down, apart, or they would hide each other. */
  readonly piles: readonly Pile[];
  /** Units whose credit is not finite. */
  readonly nonfinite: number;
}

export interface Column {
  /** The largest |credit| of a unit in it: what shares are divided by. */
  readonly scale: number;
  readonly blocks: readonly Block[];
}

const sumOf = (values: Float32Array): number => values.reduce((sum, value) => sum + value, 0);

/** The largest size among finite values; 0 without any. */
export const largest = (values: Iterable<number>): number => {
  let most = 0;
  for (const value of values) if (Number.isFinite(value)) most = Math.max(most, Math.abs(value));
  return most;
};

export const share = (value: number, scale: number): number => (scale > 0 ? Math.min(1, Math.max(-1, value / scale)) : 0);

/** Whether a layer has any part in it; one whose credit is not finite has. */
export const takesPart = (values: Float32Array): boolean => values.some((value) => value !== 0);

/** A layer of a column: its name, the units' credit, and its feature maps if it has some. */
export type Layer = readonly [name: string, credit: Float32Array, maps: Maps | null];

/** The column of some layers at the same distance: its `most` strongest units as tiles, whichever layer they are of. */
export function column(nodes: readonly Layer[], most: number): Column {
  const scale = largest(nodes.flatMap(([, credit]) => largest(credit)));
  const all = nodes.flatMap(([node, credit]) => Array.from(credit, (value, unit) => ({ node, unit, credit: value })));
  const strong = all.filter((one) => Number.isFinite(one.credit) && one.credit !== 0).sort((a, b) => Math.abs(b.credit) - Math.abs(a.credit)).slice(0, most);
  return {
    scale,
    blocks: nodes.map(([node, credit, maps]): Block => {
      const together = (units: readonly number[]): number => units.reduce((total, unit) => total + credit[unit]!, 0);
      const tiles = clusters(strong.filter((one) => one.node === node).map(({ unit }) => unit), maps ?? null)
        .map((alike) => ({ alike, sum: together(alike) })).sort((a, b) => b.sum - a.sum || a.alike[0]! - b.alike[0]!)
        .flatMap(({ alike }) => [...alike].sort((a, b) => credit[b]! - credit[a]! || a - b).map((unit): Tile => ({ node, unit, credit: credit[unit]!, share: share(credit[unit]!, scale), alike })));
      const [sum, finite] = [sumOf(credit), credit.filter(Number.isFinite)];
      return { node, units: credit.length, sum, tiles, piles: piles(node, credit, tiles, scale), nonfinite: credit.length - finite.length };
    }),
  };
}

function piles(node: string, credit: Float32Array, tiles: readonly Tile[], scale: number): Pile[] {
  const shown = new Set(tiles.map(({ unit }) => unit));
  const rest = Array.from(credit.keys()).filter((unit) => Number.isFinite(credit[unit]!) && !shown.has(unit)).sort((a, b) => Math.abs(credit[b]!) - Math.abs(credit[a]!));
  return ([["up", 1], ["down", -1]] as const).flatMap(([way, sign]): Pile[] => {
    const units = rest.filter((unit) => sign * credit[unit]! > 0);
    const sum = units.reduce((total, unit) => total + credit[unit]!, 0);
    return units.length ? [{ node, way, units, sum, share: share(sum, scale) }] : [];
  });
}

export interface Part {
  readonly name: string;
  readonly sum: number;
  /** The index along the first axis with the most credit, and that. */
  readonly strongest: { readonly tensor: string; readonly index: number; readonly credit: number } | null;
}

/** Parameters and buffers by the module that holds them, the largest first; those without any part are left out. */
export function byModule(tensors: Iterable<readonly [name: string, credit: Float32Array]>): Part[] {
  const parts = new Map<string, { sum: number; strongest: Part["strongest"] }>();
  for (const [name, credit] of tensors) {
    const dot = name.lastIndexOf(".");
    const module = dot < 0 ? "" : name.slice(0, dot);
    const part = parts.get(module) ?? { sum: 0, strongest: null };
    credit.forEach((value, index) => {
      if (value !== 0 && !(Math.abs(value) <= Math.abs(part.strongest?.credit ?? 0))) part.strongest = { tensor: name.slice(dot + 1), index, credit: value };
    });
    part.sum += sumOf(credit);
    parts.set(module, part);
  }
  const some = [...parts].filter(([, { strongest }]) => strongest !== null).map(([name, part]): Part => ({ name, ...part }));
  const size = ({ sum, strongest }: Part): number => (Number.isNaN(sum) ? Infinity : Math.max(Math.abs(sum), Math.abs(strongest?.credit ?? 0) * 1e-3));
  return some.sort((a, b) => size(b) - size(a));
}

/** Below this part of what its units do, the target's own change says little: they cancel. */
const CANCELS = 0.5;

/** Units that push up and units that pull down, the strongest first, where they largely cancel in the target's mean; else null. */
export function cancelling(credit: Float32Array, most: number): { readonly up: number[]; readonly down: number[] } | null {
  const size = credit.reduce((sum, value) => sum + Math.abs(value), 0);
  if (!(Math.abs(sumOf(credit)) < CANCELS * size)) return null;
  const units = Array.from(credit.keys()).sort((a, b) => Math.abs(credit[b]!) - Math.abs(credit[a]!));
  return { up: units.filter((unit) => credit[unit]! > 0).slice(0, most), down: units.filter((unit) => credit[unit]! < 0).slice(0, most) };
}

/** How much of the change the parts add up to, in [0, 1]; NaN where there is no change or it is not finite. */
export function completeness(change: number, gap: number): number {
  return change === 0 ? (gap === 0 ? 1 : NaN) : Math.max(0, 1 - Math.abs(gap / change));
}

/** Positions of the strongest and of the weakest samples, by |credit|; each at most `most`, none in both. */
export function extremes(samples: Float32Array, most: number): { readonly abnormal: number[]; readonly normal: number[] } {
  const size = (at: number): number => (Number.isFinite(samples[at]!) ? Math.abs(samples[at]!) : Infinity);
  const order = Array.from(samples, (_, at) => at).sort((a, b) => size(b) - size(a) || a - b);
  const half = Math.min(most, Math.ceil(order.length / 2));
  return { abnormal: order.slice(0, half), normal: order.slice(half).reverse().slice(0, most) };
}
