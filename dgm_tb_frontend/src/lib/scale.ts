/** Value axes: linear, symlog and robust maps from a value to a position in [0, 1], with their ticks. */

import { sampled } from "./sampled";
import { linearTicks, logarithmicTicks } from "./ticks";

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

/** A symlog axis is linear up to three medians of |value|, as the server's is: the crowd is drawn nearly linearly. */
const THRESHOLD_MEDIANS = 3;
/**
 * How many thresholds from zero a symlog axis ends. What explodes to 1e37 would else leave the crowd a hundredth of the
 * height; so the linear part keeps a tenth of each side, a growth of a thousand times is seen, and the rest is marked.
 */
const SYMLOG_REACH = 1000;

const symlog = (value: number, threshold: number): number => Math.sign(value) * Math.log1p(Math.abs(value) / threshold);
const symexp = (value: number, threshold: number): number => Math.sign(value) * Math.expm1(Math.abs(value)) * threshold;

/** Where `value` stands between the scale's low (0) and high (1); NaN for NaN, past the edge for ±Infinity. */
export function position(scale: ValueScale, value: number): number {
  return Number.isNaN(value) ? NaN : Math.min(1 + OVERSHOOT, Math.max(-OVERSHOOT, unclipped(scale, value)));
}

/** `position` without an end: also of what lies far outside the chart. */
export function unclipped(scale: ValueScale, value: number): number {
  const { low, high, threshold } = scale;
  return scale.name === "symlog"
    ? (symlog(value, threshold) - symlog(low, threshold)) / (symlog(high, threshold) - symlog(low, threshold))
    : (value - low) / (high - low);
}

/** 1 where a finite value lies above the chart, −1 beneath it, else 0: what is clipped gets a mark. */
export function beyond(scale: ValueScale, value: number): -1 | 0 | 1 {
  if (!Number.isFinite(value)) return 0;
  return value > scale.high ? 1 : value < scale.low ? -1 : 0;
}

/** The inverse of `position` inside the chart. */
export function valueAt(scale: ValueScale, share: number): number {
  const { low, high, threshold } = scale;
  if (scale.name !== "symlog") return low + share * (high - low);
  const a = symlog(low, threshold);
  return symexp(a + share * (symlog(high, threshold) - a), threshold);
}

const quantile = (sorted: Float32Array, q: number): number => sorted[Math.round(q * (sorted.length - 1))] ?? 0;

/** Values that suffice to tell quantiles; to sort hundreds of thousands would be felt. */
const SAMPLED = 50_000;

/** A scale that fits finite values; with nothing finite it spans [0, 1]. Of very many the quantiles are told from a sample. */
export function fitScale(name: ScaleName, values: ArrayLike<number>): ValueScale {
  const finite = Float32Array.from(sampled(values, SAMPLED)).sort();
  if (finite.length === 0) return { name, low: 0, high: 1, threshold: 1 };
  const [from, to] = name === "robust" ? [quantile(finite, 0.01), quantile(finite, 0.99)] : [finite[0]!, finite[finite.length - 1]!];
  const magnitudes = finite.map(Math.abs).filter((size) => size > 0).sort();
  const threshold = THRESHOLD_MEDIANS * quantile(magnitudes, 0.5) || 1;
  return padded(withinReach({ name, low: from, high: to, threshold }));
}

/** The same scale, a symlog one ending `reach` thresholds from zero at most. */
export function withinReach(scale: ValueScale, reach = SYMLOG_REACH): ValueScale {
  const most = reach * scale.threshold;
  return scale.name === "symlog" ? { ...scale, low: Math.max(scale.low, -most), high: Math.min(scale.high, most) } : scale;
}

/** How many times what was there up to the focus a curve's axis goes. */
const AFTERWARDS = 4;

/** The same scale, a symlog one narrowed to what was there up to the focus: what explodes later must not flatten the jump one looks at. */
export function seeing(scale: ValueScale, until: readonly number[]): ValueScale {
  const most = AFTERWARDS * until.reduce((a, b) => (Number.isFinite(b) ? Math.max(a, Math.abs(b)) : a), 0);
  const [low, high] = [Math.max(scale.low, -most), Math.min(scale.high, most)];
  return scale.name === "symlog" && high > low ? { ...scale, low, high } : scale;
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
  if (scale.name !== "symlog") return linearTicks(scale.low, scale.high, count);
  return logarithmicTicks({ low: scale.low, high: scale.high, least: scale.threshold, place: (value) => position(scale, value) }, count);
}
