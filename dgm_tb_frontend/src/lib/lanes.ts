/** Straightens an edge that passes other boxes: one vertical lane where nothing stands, in place of a bend at every rank. */

import type { Point } from "./layout";

export interface Obstacle {
  readonly left: number;
  readonly right: number;
  readonly top: number;
  readonly bottom: number;
}

/** Lanes keep this far from boxes and from each other. */
const CLEAR = 8;

/** Lanes taken so far in one group. */
export class Lanes {
  private readonly taken: { x: number; top: number; bottom: number }[] = [];

  /** Whether a lane from `top` to `bottom` at `x` meets neither a box nor another lane. */
  private free(x: number, top: number, bottom: number, obstacles: readonly Obstacle[]): boolean {
    return obstacles.every((box) => box.bottom <= top || box.top >= bottom || x <= box.left - CLEAR || x >= box.right + CLEAR)
      && this.taken.every((lane) => lane.bottom <= top || lane.top >= bottom || Math.abs(lane.x - x) >= CLEAR - 0.01);
  }

  /** The free lane that takes the least way from `from` to `to`; null where there is none between `left` and `right`. */
  take(from: Point, to: Point, top: number, bottom: number, obstacles: readonly Obstacle[], left: number, right: number): number | null {
    const beside = obstacles.flatMap((box) => [box.left - CLEAR, box.right + CLEAR]);
    const next = this.taken.flatMap((lane) => [lane.x - CLEAR, lane.x + CLEAR]);
    const way = (x: number): number => Math.abs(x - from[0]) + Math.abs(x - to[0]);
    const lane = [from[0], to[0], (from[0] + to[0]) / 2, ...beside, ...next]
      .filter((x) => x >= left && x <= right && this.free(x, top, bottom, obstacles))
      .reduce<number | null>((best, x) => (best === null || way(x) < way(best) - 0.01 ? x : best), null);
    if (lane !== null) this.taken.push({ x: lane, top, bottom });
    return lane;
  }
}

/**
 * The bends of an edge as one lane from the first to the last rank that it passes; as they were where no lane is free.
 * `bends` run downwards in pairs, above and beneath each rank that is passed.
 */
export function straighten(from: Point, to: Point, bends: readonly Point[], obstacles: readonly Obstacle[], lanes: Lanes, left: number, right: number): readonly Point[] {
  if (!bends.length) return bends;
  const [top, bottom] = [bends[0]![1], bends[bends.length - 1]![1]];
  const lane = lanes.take(from, to, top, bottom, obstacles, left, right);
  return lane === null ? bends : [[lane, top], [lane, bottom]];
}
