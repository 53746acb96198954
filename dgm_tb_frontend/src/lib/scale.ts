/** Value axes: linear, symlog and robust maps from a value to a position in [0, 1], with their ticks. */

export type ScaleName = "linear" | "symlog" | "robust";

export interface ValueScale {
  readonly name: ScaleName;
  readonly low: number;
  readonly high: number;
  /** symlog only: values beneath it (in magnitude) are drawn linearly. */
  readonly threshold: number;
}

/** Drawn this far beyond [0, 1] at most, so that a robust scale shows that a line leaves the chart. */
const OVERSHOOT = 0.04;

const symlog = (value: number, threshold: number): number => Math.sign(value) * Math.log1p(Math.abs(value) / threshold);
const symexp = (value: number, threshold: number): number => Math.sign(value) * Math.expm1(Math.abs(value)) * threshold;

/** Where `value` stands between the scale's low (0) and high (1); NaN for NaN, past the edge for ±Infinity. */
export function position(scale: ValueScale, value: number): number {
  if (Number.isNaN(value)) return NaN;
  const { low, high, threshold } = scale;
  const share = scale.name === "symlog"
    ? (symlog(value, threshold) - symlog(low, threshold)) / (symlog(high, threshold) - symlog(low, threshold))
    : (value - low) / (high - low);
  return Math.min(1 + OVERSHOOT, Math.max(-OVERSHOOT, share));
}

/** The inverse of `position` inside the chart. */
export function valueAt(scale: ValueScale, share: number): number {
  const { low, high, threshold } = scale;
  if (scale.name !== "symlog") return low + share * (high - low);
  const a = symlog(low, threshold);
  return symexp(a + share * (symlog(high, threshold) - a), threshold);
}

const quantile = (sorted: Float32Array, q: number): number => sorted[Math.round(q * (sorted.length - 1))] ?? 0;

/** A scale that fits finite values; with nothing finite it spans [0, 1]. */
export function fitScale(name: ScaleName, values: ArrayLike<number>): ValueScale {
  const finite = Float32Array.from(values).filter(Number.isFinite).sort();
  if (finite.length === 0) return { name, low: 0, high: 1, threshold: 1 };
  const [from, to] = name === "robust" ? [quantile(finite, 0.01), quantile(finite, 0.99)] : [finite[0]!, finite[finite.length - 1]!];
  const magnitudes = finite.map(Math.abs).sort();
  // The median magnitude: half of the values are then drawn on the linear part, as a crowd should be.
  const threshold = quantile(magnitudes, 0.5) || quantile(magnitudes, 0.9) || 1;
  return padded({ name, low: from, high: to, threshold });
}

/** The same scale with a little room, and never of zero height. */
export function padded(scale: ValueScale): ValueScale {
  const { low, high } = scale;
  const spread = high - low;
  const room = spread > 0 ? spread * 0.04 : Math.max(Math.abs(high) * 0.05, 1e-6);
  if (scale.name !== "symlog" || spread === 0) return { ...scale, low: low - room, high: high + room };
  return { ...scale, low: valueAt(scale, -0.04), high: valueAt(scale, 1.04) };
}

/** About `count` round values inside the scale, ascending. */
export function ticks(scale: ValueScale, count: number): number[] {
  const logarithmic = scale.name === "symlog" ? symlogTicks(scale, count) : [];
  // A symlog scale of a narrow range is nearly linear, and holds too few round powers to be read by.
  return logarithmic.length > 2 ? logarithmic : linearTicks(scale.low, scale.high, count);
}

export function linearTicks(low: number, high: number, count: number): number[] {
  const raw = (high - low) / Math.max(1, count);
  if (!(raw > 0) || !Number.isFinite(raw)) return [low];
  const power = 10 ** Math.floor(Math.log10(raw));
  const step = [1, 2, 5, 10].map((f) => f * power).find((s) => s >= raw * 0.999) ?? 10 * power;
  const out: number[] = [];
  for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k++) out.push(Number((k * step).toPrecision(12)));
  return out;
}

function symlogTicks(scale: ValueScale, count: number): number[] {
  const top = Math.max(Math.abs(scale.low), Math.abs(scale.high));
  const candidates = [0];
  for (let e = Math.floor(Math.log10(scale.threshold)); e <= Math.ceil(Math.log10(top)); e++) {
    for (const factor of [1, 2, 5]) candidates.push(factor * 10 ** e, -factor * 10 ** e);
  }
  // Zero and powers of ten win a place before 5s and 2s do; none may come nearer than a tick's share of the axis.
  const rank = (value: number): number => {
    if (value === 0) return 0;
    const lead = Math.round(Math.abs(value) / 10 ** Math.floor(Math.log10(Math.abs(value)) + 1e-9));
    return lead === 1 ? 1 : lead === 5 ? 2 : 3;
  };
  const kept: { value: number; at: number }[] = [];
  for (const value of candidates.filter((v) => v >= scale.low && v <= scale.high).sort((a, b) => rank(a) - rank(b) || Math.abs(b) - Math.abs(a))) {
    const at = position(scale, value);
    if (kept.every((other) => Math.abs(other.at - at) >= 0.8 / count)) kept.push({ value: Number(value.toPrecision(6)), at });
  }
  return kept.map((k) => k.value).sort((a, b) => a - b);
}
