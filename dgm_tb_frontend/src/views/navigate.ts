/** Moving over the network: wheel, drag, and what the buttons for it do. */

import { confine, fit, zoomAbout } from "../canvas/viewport";
import { placement } from "../state/placement";
import { panel, view } from "../state/stage";

export function zoom(factor: number): void {
  if (view.value) view.value = zoomAbout(view.value, factor, panel.value.width / 2, panel.value.height / 2);
}

export function showAll(): void {
  const layout = placement.value.layout;
  if (layout) view.value = fit(layout, panel.value);
}

export function wheel(event: WheelEvent, host: HTMLElement): void {
  const layout = placement.peek().layout;
  const at = view.peek();
  if (!layout || !at) return;
  const box = host.getBoundingClientRect();
  const moved = event.ctrlKey || event.metaKey
    ? zoomAbout(at, Math.exp(-event.deltaY * 0.003), event.clientX - box.left, event.clientY - box.top)
    : confine({ ...at, x: at.x - event.deltaX - (event.shiftKey ? event.deltaY : 0), y: at.y - (event.shiftKey ? 0 : event.deltaY) }, layout, panel.peek());
  // At the end of the graph the page scrolls on.
  if (moved.x === at.x && moved.y === at.y && moved.zoom === at.zoom) return;
  event.preventDefault();
  view.value = moved;
}

export function drag(event: PointerEvent): void {
  const host = event.currentTarget as HTMLElement;
  const start = view.peek();
  const layout = placement.peek().layout;
  if (event.button !== 0 || !start || !layout || (event.target as HTMLElement).closest("button")) return;
  const move = (next: PointerEvent): void => {
    view.value = confine({ ...start, x: start.x + next.clientX - event.clientX, y: start.y + next.clientY - event.clientY }, layout, panel.peek());
  };
  const end = (): void => {
    host.classList.remove("dragging");
    host.removeEventListener("pointermove", move);
  };
  host.classList.add("dragging");
  host.setPointerCapture(event.pointerId);
  host.addEventListener("pointermove", move);
  host.addEventListener("pointerup", end, { once: true });
  host.addEventListener("pointercancel", end, { once: true });
}
