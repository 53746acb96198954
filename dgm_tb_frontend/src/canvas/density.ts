/** The density of all lines as an image in the cool half of viridis, thin places transparent. */

import type { DensityReply } from "../api/types";
import { rampColour } from "../lib/palette";

/** Null where canvases cannot be made (tests without a screen). */
export function densityImage(reply: DensityReply, theme: "light" | "dark"): HTMLCanvasElement | null {
  const canvas = document.createElement("canvas");
  [canvas.width, canvas.height] = [reply.width, reply.height];
  const context = canvas.getContext("2d");
  if (!context || !reply.width || !reply.height) return null;
  const image = context.createImageData(reply.width, reply.height);
  image.data.set(densityPixels(reply.density, theme));
  context.putImageData(image, 0, 0);
  return canvas;
}

/** RGBA bytes of a density; by its logarithm, for a crowd is hundreds of times denser than its fringe. */
export function densityPixels(density: Float32Array, theme: "light" | "dark"): Uint8ClampedArray {
  const most = density.reduce((a, b) => (b > a ? b : a), 0);
  const out = new Uint8ClampedArray(density.length * 4);
  // The thinnest place still seen: a single line of the crowd, spread over its height.
  const floor = most / 400;
  const span = Math.log1p(most / floor);
  for (let i = 0; i < density.length; i++) {
    const value = density[i]!;
    if (!(value > 0)) continue;
    const share = Math.log1p(value / floor) / span;
    const [red, green, blue] = rampColour(theme, share);
    out.set([red, green, blue, 255 * Math.min(0.8, share * 0.95)], i * 4);
  }
  return out;
}
