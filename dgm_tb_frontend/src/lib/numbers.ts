/** Numbers as a person reads them. */

const GROUPED = new Intl.NumberFormat("en-US");

/** A count or a step with thousands separators. */
export const formatCount = (value: number): string => GROUPED.format(value);

/** A measured value with `digits` significant digits; NaN and infinities are named, never hidden. */
export function formatValue(value: number, digits = 3): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "∞" : "−∞";
  if (value === 0) return "0";
  const size = Math.abs(value);
  const text = size >= 1e5 || size < 1e-3
    ? value.toExponential(Math.max(0, digits - 1)).replace(/\.?0+e/, "e").replace("e+", "e")
    : String(Number(value.toPrecision(digits)));
  return text.replaceAll("-", "−");
}

/** One value, or the least and the greatest where there are several. */
export const formatExtent = (low: number, high: number, digits = 3): string =>
  low === high || (Number.isNaN(low) && Number.isNaN(high)) ? formatValue(low, digits) : `${formatValue(low, digits)} to ${formatValue(high, digits)}`;

/** `at step 7`, or the steps that a point covers. */
export const formatSteps = (first: number, last: number): string => (first === last ? `at step ${formatCount(first)}` : `over steps ${formatCount(first)} to ${formatCount(last)}`);

/** A robust z-score, short enough for a badge. */
export function formatScore(score: number): string {
  if (Number.isNaN(score)) return "–";
  if (!Number.isFinite(score)) return "∞";
  if (score >= 1e4) return score.toExponential(0).replace("e+", "e");
  return score >= 100 ? formatCount(Math.round(score)) : score.toFixed(1).replace(/^-0\.0$/, "0.0").replace("-", "−");
}

/** How long ago, in the coarsest unit that still says something. */
export function formatAge(seconds: number): string {
  if (seconds < 2) return "now";
  if (seconds < 90) return `${Math.round(seconds)} s ago`;
  if (seconds < 5400) return `${Math.round(seconds / 60)} min ago`;
  if (seconds < 129600) return `${Math.round(seconds / 3600)} h ago`;
  return `${Math.round(seconds / 86400)} d ago`;
}

export const clamp = (value: number, low: number, high: number): number => Math.min(high, Math.max(low, value));
