/**
 * The outline of points that sum several snapshots up: two columns each, least at the first step, greatest at the last.
 *
 * A line through the columns would look like an oscillation that never was; an outline claims no more than is known.
 */

/** Points that share a pixel, as one: first and last column, left and right end in pixels. */
export interface Stretch {
  readonly first: number;
  readonly last: number;
  readonly left: number;
  readonly right: number;
  /** Whether nothing is known between the point before and this one: the outline is broken there. */
  readonly apart: boolean;
}

/** Stretches narrower than this are merged, pixels: more corners would not be seen, but be paid for. */
const LEAST_WIDTH = 1;
/** Width of a point that lasts a single step and has no neighbour, pixels: else it would vanish. */
const LONE_WIDTH = 1.5;

/** Points this many times farther from each other than usual have something missing between them; single snapshots may just be sparse. */
const FAR = 8;

/** The columns `first` … `last` by stretches; they are widened to whole points. */
export function stretches(first: number, last: number, x: (column: number) => number): Stretch[] {
  const out: Stretch[] = [];
  const start = first & ~1;
  const gaps = Float64Array.from({ length: Math.max(0, (last - start) >> 1) }, (_, k) => x(start + 2 * k + 2) - x(start + 2 * k + 1)).sort();
  const usual = gaps[gaps.length >> 1] ?? 0;
  for (let column = start; column <= last; column += 2) {
    const [left, right, before] = [x(column), x(column + 1), out[out.length - 1]];
    const apart = before !== undefined && left - before.right > FAR * usual && (right > left || before.right > x(column - 2));
    if (before && !apart && right - before.left < LEAST_WIDTH) out[out.length - 1] = { ...before, last: column + 1, right };
    else out.push({ first: column, last: column + 1, left, right, apart });
  }
  return out;
}

/** Least and greatest finite value among the columns; NaN where there is none. */
export function extent(row: ArrayLike<number>, first: number, last: number): [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (let column = first; column <= last; column++) {
    const value = row[column]!;
    if (!Number.isFinite(value)) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return low <= high ? [low, high] : [NaN, NaN];
}

/** The outline as a path, at least `thickness` high; a gap where a point has no finite value. */
export function traceEnvelope(context: CanvasRenderingContext2D, row: ArrayLike<number>, parts: readonly Stretch[], y: (value: number) => number, thickness: number): void {
  const [tops, bottoms] = [new Float32Array(parts.length), new Float32Array(parts.length)];
  context.beginPath();
  let start = -1;
  for (let i = 0; i <= parts.length; i++) {
    const part = parts[i];
    const [low, high] = part ? extent(row, part.first, part.last) : [NaN, NaN];
    if (start >= 0 && (Number.isNaN(low) || part!.apart)) {
      outline(context, parts, start, i - 1, tops, bottoms);
      start = -1;
    }
    if (Number.isNaN(low)) continue;
    const [top, bottom] = [y(high), y(low)];
    const room = Math.max(0, thickness - (bottom - top)) / 2;
    [tops[i], bottoms[i]] = [top - room, bottom + room];
    if (start < 0) start = i;
  }
}

function outline(context: CanvasRenderingContext2D, parts: readonly Stretch[], from: number, to: number, tops: Float32Array, bottoms: Float32Array): void {
  const rightOf = (i: number): number => (from === to ? Math.max(parts[i]!.right, parts[i]!.left + LONE_WIDTH) : parts[i]!.right);
  context.moveTo(parts[from]!.left, tops[from]!);
  for (let i = from; i <= to; i++) (context.lineTo(parts[i]!.left, tops[i]!), context.lineTo(rightOf(i), tops[i]!));
  for (let i = to; i >= from; i--) (context.lineTo(rightOf(i), bottoms[i]!), context.lineTo(parts[i]!.left, bottoms[i]!));
  context.closePath();
}
