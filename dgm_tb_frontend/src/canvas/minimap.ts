/** The whole network in small: where one is, and where it is hot. */

import type { Layout } from "../lib/layout";
import { heatOf, mix, type Palette } from "../lib/palette";
import type { Extent, Viewport } from "./viewport";

/** The most room the map takes, pixels. */
const ROOM = { width: 164, height: 150 };
const INSET = 5;

/** A tall network's map is stretched sideways to this width, or its boxes could not be told apart. */
const LEAST_WIDTH = 64;

/** Pixels of the map a graph unit, across and down. */
function mapScale(layout: Layout): readonly [number, number] {
  const even = Math.min((ROOM.width - 2 * INSET) / layout.width, (ROOM.height - 2 * INSET) / layout.height);
  return [Math.max(even, LEAST_WIDTH / layout.width), even];
}

export function mapSize(layout: Layout): Extent {
  const [across, down] = mapScale(layout);
  return { width: Math.round(layout.width * across) + 2 * INSET, height: Math.round(layout.height * down) + 2 * INSET };
}

/** The viewport in which a place of the map is in the middle of the panel. */
export function centredAt(layout: Layout, view: Viewport, panel: Extent, x: number, y: number): Viewport {
  const [across, down] = mapScale(layout);
  return { ...view, x: panel.width / 2 - ((x - INSET) / across) * view.zoom, y: panel.height / 2 - ((y - INSET) / down) * view.zoom };
}

export interface MapScene {
  readonly layout: Layout;
  readonly view: Viewport;
  readonly panel: Extent;
  readonly palette: Palette;
  readonly scoreOf: (id: string) => number;
  readonly chosen: string;
}

export function drawMap(context: CanvasRenderingContext2D, scene: MapScene): void {
  const { layout, view, panel, palette } = scene;
  const [across, down] = mapScale(layout);
  const rect = (x: number, y: number, width: number, height: number): [number, number, number, number] =>
    [INSET + x * across, INSET + y * down, Math.max(2, width * across), Math.max(1.5, height * down)];
  for (const box of layout.boxes) {
    const frame = rect(box.x, box.y, box.width, box.height);
    if (box.open) {
      context.strokeStyle = palette.hairline;
      context.lineWidth = 1;
      context.strokeRect(...frame);
      continue;
    }
    const heat = heatOf(scene.scoreOf(box.id));
    context.fillStyle = box.id === scene.chosen && !heat ? palette.accent : heat ? mix(palette.border, palette.heat, 0.4 + 0.6 * heat) : palette.border;
    context.fillRect(...frame);
  }
  const [x, y] = [-view.x / view.zoom, -view.y / view.zoom];
  const [left, top] = [Math.max(0, x), Math.max(0, y)];
  const [right, bottom] = [Math.min(layout.width, x + panel.width / view.zoom), Math.min(layout.height, y + panel.height / view.zoom)];
  if (right <= left || bottom <= top) return;
  const frame = rect(left, top, right - left, bottom - top);
  context.fillStyle = palette.accent;
  context.globalAlpha = 0.1;
  context.fillRect(...frame);
  context.globalAlpha = 1;
  context.strokeStyle = palette.accent;
  context.lineWidth = 1.25;
  context.strokeRect(...frame);
}
