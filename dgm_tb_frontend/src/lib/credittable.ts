/** A credit as one table for a spreadsheet: every unit, weight, input and sample with its part (pure). */

import type { Credit } from "../api/credit";

/** `share` is of the target's change (of a later unit, of the target's gradient); empty where that is zero or not finite. */
const COLUMNS = ["kind", "node", "index", "credit", "share"] as const;

type Row = readonly [kind: string, node: string, index: number | "", credit: number];

/**
 * Kinds: `unit` (before and at the target), `later unit` (its part of the target's gradient), `parameter` and `buffer` (by
 * the first axis), `input` (by batch position, summed over the rest), `sample` (what it shows of the change), and the
 * single numbers `noise`, `labels` and `unaccounted`.
 */
export function creditTable(credit: Credit, later: Credit | null, target: string): string {
  const change = credit.after - credit.before;
  const gradient = later?.units.get(target)?.reduce((sum, value) => sum + value, 0) ?? NaN;
  const named = (kind: string, groups: Iterable<readonly [string, ArrayLike<number>]>): Row[] =>
    [...groups].flatMap(([node, values]) => Array.from(values, (value, index): Row => [kind, node, index, value]));
  const inputs = [...credit.inputs].map(([name, { shape, data }]) => [name, byPosition(data, shape[0] ?? 1)] as const);
  const rows: readonly Row[] = [
    ...named("unit", credit.units), ...named("parameter", credit.parameters), ...named("buffer", credit.buffers), ...named("input", inputs),
    ...Array.from(credit.samples, (value, index): Row => ["sample", "", index, value]),
    ["noise", "", "", credit.noise], ["labels", "", "", credit.discrete], ["unaccounted", "", "", -credit.gap],
  ];
  const onward = named("later unit", [...(later?.units ?? [])].filter(([node]) => node !== target));
  const text = (list: readonly Row[], whole: number): string[] => list.map(([kind, node, index, value]) => [kind, quoted(node), index, number(value), number(whole === 0 ? NaN : value / whole)].join(","));
  return [COLUMNS.join(","), ...text(rows, change), ...text(onward, gradient), ""].join("\r\n");
}

function byPosition(data: Float32Array, batch: number): number[] {
  const each = data.length / batch;
  return Array.from({ length: batch }, (_, at) => data.subarray(at * each, (at + 1) * each).reduce((sum, value) => sum + value, 0));
}

const number = (value: number): string => (Number.isFinite(value) ? String(Number(value.toPrecision(9))) : "");

/** RFC 4180; what a spreadsheet would take for a formula is told as text. */
function quoted(name: string): string {
  const safe = /^[=+\-@\t\r]/.test(name) ? `'${name}` : name;
  return /[",\r\n]/.test(safe) ? `"${safe.replaceAll('"', '""')}"` : safe;
}
