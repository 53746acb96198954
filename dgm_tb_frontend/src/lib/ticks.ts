/** Round values to read an axis by: few, far enough apart, and some on every scale however narrow its range. */

/** About `count` multiples of 1, 2 or 5 between `low` and `high`, ascending. */
export function linearTicks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999) ?? 10 * power;
  const out: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(Number((k * step).toPrecision(12)));
  return out;
}

/** A map from values to places in [0, 1] between its ends. */
export interface TickAxis {
  readonly low: number;
  readonly high: number;
  /** The least magnitude worth a tick. */
  readonly least: number;
  readonly place: (value: number) => number;
}

/** About `count` powers of ten, then 5s and 2s between them; linear ones where the range holds too few of these. */
export function logarithmicTicks(axis: TickAxis, count: number): number[] {
  const kept = spread(axis, count);
  if (kept.length >= 3) return kept;
  // Of a wide range two would say too little; a narrow one is nearly linear.
  return Math.max(Math.abs(axis.low), Math.abs(axis.high)) > 30 * axis.least ? spread(axis, 2 * count) : linearTicks(axis.low, axis.high, count);
}

function spread(axis: TickAxis, count: number): number[] {
  const top = Math.max(Math.abs(axis.low), Math.abs(axis.high));
  const candidates = [0];
  for (let e = Math.floor(Math.log10(axis.least)); e <= Math.ceil(Math.log10(top)); e++) {
    for (const factor of [1, 2, 5]) candidates.push(factor * 10 ** e, -factor * 10 ** e);
  }
  // Zero and powers of ten win a place before 5s and 2s do; none may come nearer than a tick's share of the axis.
  const rank = (value: number): number => {
    if (value === 0) return 0;
    const lead = Math.round(Math.abs(value) / 10 ** Math.floor(Math.log10(Math.abs(value)) + 1e-9));
    return lead === 1 ? 1 : lead === 5 ? 2 : 3;
  };
  const kept: { value: number; at: number }[] = [];
  for (const value of candidates.filter((v) => v >= axis.low && v <= axis.high).sort((a, b) => rank(a) - rank(b) || Math.abs(b) - Math.abs(a))) {
    const at = axis.place(value);
    if (kept.every((other) => Math.abs(other.at - at) >= 0.8 / count)) kept.push({ value: Number(value.toPrecision(6)), at });
  }
  return kept.map((k) => k.value).sort((a, b) => a - b);
}
