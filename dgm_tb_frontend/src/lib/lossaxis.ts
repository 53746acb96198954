/** The value axis of the loss chart: where it ends, and the values that label it, on its three scales. */

import { padded, position, withinReach } from "./scale";
import { linearTicks, logarithmicTicks } from "./ticks";

export type LossScale = "linear" | "log" | "symlog";

export interface LossAxis {
  readonly scale: LossScale;
  readonly low: number;
  readonly high: number;
  /** symlog only: values beneath it (in magnitude) are drawn linearly. */
  readonly threshold: number;
  /** The greatest value that is drawn where it belongs; above it stands a mark. */
  readonly ceiling: number;
}

/** A symlog loss axis ends this many medians above zero: spikes are what the chart is read for, so it reaches far. */
const REACH = 1e5;

/** An axis for the finite ones of `values`; on a logarithmic scale for the positive ones. */
export function lossAxis(scale: LossScale, values: readonly number[]): LossAxis {
  const fit = Float64Array.from(values.filter((value) => Number.isFinite(value) && (scale !== "log" || value > 0))).sort();
  const [least, most] = [fit[0] ?? (scale === "log" ? 0.1 : 0), fit[fit.length - 1] ?? 1];
  const sizes = fit.map(Math.abs).sort();
  const threshold = sizes[sizes.length >> 1] || 1;
  if (scale === "log") return { scale, low: least / 1.2, high: Math.max(most * 1.2, least * 1.0001), threshold, ceiling: Infinity };
  const near = scale === "symlog" ? withinReach({ name: "symlog", low: least, high: most, threshold }, REACH) : { name: "linear" as const, low: least, high: most, threshold };
  const roomy = padded(near);
  // An axis that nearly reaches zero shows it: heights can then be compared.
  const low = least >= 0 && least < 0.35 * near.high ? 0 : roomy.low;
  return { scale, low, high: roomy.high, threshold, ceiling: near.high < most ? near.high : Infinity };
}

export function lossTicks({ scale, low, high, threshold }: LossAxis, count: number): number[] {
  if (scale === "linear") return linearTicks(low, high, count);
  if (scale === "log") return logarithmicTicks({ low, high, least: low, place: (value) => Math.log(value / low) / Math.log(high / low) }, count);
  return logarithmicTicks({ low, high, least: threshold, place: (value) => position({ name: "symlog", low, high, threshold }, value) }, count);
}
