/**
 * The value axis of a node's chart: it follows the mean, and the band of its units only as far as that does not flatten it.
 *
 * A single far unit would else take the whole height, and a layer that moves would look as if it stood still.
 */

import { fitScale, padded, type ScaleName, type ValueScale, withinReach } from "./scale";

/** What a node's chart draws: over the units of a layer their mean, least and greatest, a column each. */
export interface Curve {
  readonly mean: Float32Array;
  readonly low: Float32Array;
  readonly high: Float32Array;
}

export interface CurveScale {
  readonly scale: ValueScale;
  /** Whether the band usually lies beyond the axis on a side: it is cut off there, and not worth a mark at each column. */
  readonly cut: { readonly low: boolean; readonly high: boolean };
}

/** A side of the band belongs to far units where it is usually this many times as wide as the other; the axis gives either no more. */
const FAR = 3;
/** What comes after the focus lengthens the axis by this share on each side at most: an explosion must not flatten the jump one looks at. */
const AFTERWARDS = 0.25;

const median = (values: Float32Array): number => {
  const finite = values.filter(Number.isFinite).sort();
  return finite[finite.length >> 1] ?? NaN;
};
const least = (values: Float32Array): number => values.reduce((a, b) => (b < a ? b : a), Infinity);
const most = (values: Float32Array): number => values.reduce((a, b) => (b > a ? b : a), -Infinity);

/** An axis for a curve whose focus is at column `at` (−1: nowhere). On the linear one, all of it. */
export function curveScale(name: ScaleName, curve: Curve, at: number): CurveScale {
  const until = at < 0 ? curve.mean.length : at + 1;
  const mean = curve.mean.subarray(0, until).filter(Number.isFinite);
  const [low, high] = [curve.low.subarray(0, until), curve.high.subarray(0, until)];
  if (name === "linear" || !mean.length) return { scale: fitScale(name, joined(curve.low, curve.high)), cut: { low: false, high: false } };
  const beneath = curve.mean.subarray(0, until).map((value, i) => value - low[i]!);
  const above = curve.mean.subarray(0, until).map((value, i) => high[i]! - value);
  const [usual, down, up] = [median(mean), median(beneath), median(above)];
  const near = Math.min(down, up) || Math.max(down, up);
  const reach = (side: Float32Array, width: number): number => Math.min(most(side.filter(Number.isFinite)), FAR * (width > FAR * near ? near : width));
  let [from, to] = [Math.min(least(mean), usual - reach(beneath, down)), Math.max(most(mean), usual + reach(above, up))];
  const cut = { low: usual - down < from, high: usual + up > to };
  const [after, room] = [(values: Float32Array): Float32Array => values.subarray(until).filter(Number.isFinite), AFTERWARDS * (to - from)];
  from = Math.min(from, Math.max(least(after(cut.low ? curve.mean : curve.low)), from - room));
  to = Math.max(to, Math.min(most(after(cut.high ? curve.mean : curve.high)), to + room));
  const { threshold } = fitScale("symlog", joined(low, high));
  return { scale: padded(withinReach({ name, low: from, high: to, threshold })), cut };
}

function joined(a: Float32Array, b: Float32Array): Float32Array {
  const out = new Float32Array(a.length + b.length);
  out.set(a);
  out.set(b, a.length);
  return out;
}
