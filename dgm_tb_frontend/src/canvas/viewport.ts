/** Pan and zoom as plain geometry: how graph coordinates map to the panel's pixels. */

import { clamp } from "../lib/numbers";

export interface Viewport {
  /** Panel position of the graph's origin, and pixels a graph unit. */
  readonly x: number;
  readonly y: number;
  readonly zoom: number;
}

export interface Extent {
  readonly width: number;
  readonly height: number;
}

export const MIN_ZOOM = 0.04;
export const MAX_ZOOM = 2;
/** Beneath it a card's name is no longer legible: the first view rather shows a part. */
const LEGIBLE = 0.62;
const MARGIN = 10;

/** The whole graph in the panel, centred; never larger than life. */
export function fit(graph: Extent, panel: Extent): Viewport {
  const zoom = clamp(Math.min((panel.width - 2 * MARGIN) / graph.width, (panel.height - 2 * MARGIN) / graph.height), MIN_ZOOM, 1);
  return { zoom, x: (panel.width - graph.width * zoom) / 2, y: (panel.height - graph.height * zoom) / 2 };
}

/** The whole graph if it is legible then; else its top at a legible zoom. */
export function opening(graph: Extent, panel: Extent): Viewport {
  const whole = fit(graph, panel);
  if (whole.zoom >= LEGIBLE) return whole;
  const zoom = clamp((panel.width - 2 * MARGIN) / graph.width, LEGIBLE, 1);
  return { zoom, x: (panel.width - graph.width * zoom) / 2, y: MARGIN };
}

/** Zooms by a factor about a point of the panel. */
export function zoomAbout(view: Viewport, factor: number, px: number, py: number): Viewport {
  const zoom = clamp(view.zoom * factor, MIN_ZOOM, MAX_ZOOM);
  const ratio = zoom / view.zoom;
  return { zoom, x: px - (px - view.x) * ratio, y: py - (py - view.y) * ratio };
}

/** Keeps a part of the graph in the panel, so that nobody gets lost. */
export function confine(view: Viewport, graph: Extent, panel: Extent): Viewport {
  const axis = (offset: number, size: number, room: number): number => {
    const keep = Math.min(size, room) * 0.35;
    return clamp(offset, keep - size, room - keep);
  };
  return { ...view, x: axis(view.x, graph.width * view.zoom, panel.width), y: axis(view.y, graph.height * view.zoom, panel.height) };
}

/** Moves as little as needed to bring a box well into the panel. */
export function reveal(view: Viewport, box: { x: number; y: number; width: number; height: number }, panel: Extent): Viewport {
  const axis = (offset: number, low: number, size: number, room: number): number => {
    const [a, b] = [low * view.zoom + offset, (low + size) * view.zoom + offset];
    const margin = Math.min(40, room / 6);
    if (a >= margin && b <= room - margin) return offset;
    return offset + room / 2 - (a + b) / 2;
  };
  return { ...view, x: axis(view.x, box.x, box.width, panel.width), y: axis(view.y, box.y, box.height, panel.height) };
}
