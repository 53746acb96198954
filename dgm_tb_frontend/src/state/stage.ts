/** Where the network's panel stands on the graph: viewport, size, and the layout on its way to the newest one. */

import { signal } from "@preact/signals";
import type { Extent, Viewport } from "../canvas/viewport";
import type { Layout } from "../lib/layout";

/** Where the network's panel is on the graph; null until there is a graph. */
export const view = signal<Viewport | null>(null);
/** Size of the panel, pixels. */
export const panel = signal<Extent>({ width: 0, height: 0 });

/** The box that stays where it is when the layout changes: the one that was clicked. */
export const anchor = signal<string | null>(null);

/** The layout as drawn: on its way from the one before to the newest one for a moment, else that one. */
export const shown = signal<{ readonly layout: Layout; readonly progress: number } | null>(null);
