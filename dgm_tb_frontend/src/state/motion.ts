/** How boxes get to their new places when the layout changes: by themselves, and without losing sight of the one clicked. */

import type { Layout } from "../lib/layout";
import { shown } from "./stage";

interface Shift {
  readonly x: number;
  readonly y: number;
}

/** How far the anchor – or else the first box that both layouts have – lies from where it was, in graph units. */
export function shiftOf(before: Layout, after: Layout, id: string | null): Shift | null {
  const old = before.boxes.find((box) => box.id === id) ?? before.boxes[0];
  const fresh = after.boxes.find((box) => box.id === old?.id);
  return old && fresh ? { x: old.x - fresh.x, y: old.y - fresh.y } : null;
}

/** Milliseconds that boxes take to their new places; as TensorBoard's own graph. */
const DURATION = 200;

/** Moves `shown` from one layout to the next; returns the frame to cancel. At once where motion is unwanted. */
export function animate(before: Layout | null, after: Layout, shift: Shift | null): number {
  const still = !before || !shift || before.boxes[0]?.id !== after.boxes[0]?.id || matchMedia("(prefers-reduced-motion: reduce)").matches;
  if (still) return void (shown.value = { layout: after, progress: 1 }), 0;
  const old = new Map(before.boxes.map((box) => [box.id, box]));
  const start = performance.now();
  const step = (): number => {
    const t = Math.min(1, (performance.now() - start) / DURATION);
    const share = 1 - (1 - t) ** 3;
    const boxes = after.boxes.map((box) => {
      const from = old.get(box.id);
      if (!from || t === 1) return box;
      const between = (a: number, b: number): number => a + (b - a) * share;
      return { ...box, x: between(from.x - shift.x, box.x), y: between(from.y - shift.y, box.y), width: between(from.width, box.width), height: between(from.height, box.height) };
    });
    shown.value = { layout: t === 1 ? after : { ...after, boxes }, progress: share };
    return t < 1 ? requestAnimationFrame(step) : 0;
  };
  return step();
}
