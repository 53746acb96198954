/** A sample of the batch as an image, with what is credited laid over it and the responsible patch boxed. */

import { diverging } from "../lib/diverging";
import { share } from "../lib/share";
import type { ImageShape, Patch } from "../lib/patch";

export interface Thumbnail {
  /** `[channels, height, width]`, flat. */
  readonly values: Float32Array;
  readonly shape: ImageShape;
  /** What black and white stand for: of all samples on show, so that they can be compared. */
  readonly low: number;
  readonly high: number;
  readonly patch: Patch | null;
  /** The input's credit, as large as the image, and what is full colour; null shows the image alone. */
  readonly overlay: { readonly credit: Float32Array; readonly scale: number } | null;
  readonly theme: "light" | "dark";
  readonly box: string;
}

/** The image's pixels as they are drawn, RGBA. */
export function pixels({ values, shape, low, high, overlay, theme }: Thumbnail): Uint8ClampedArray<ArrayBuffer> {
  const { channels, height, width } = shape;
  const size = height * width;
  const out = new Uint8ClampedArray(4 * size);
  const range = high > low ? high - low : 1;
  for (let p = 0; p < size; p++) {
    const colour = [0, 1, 2].map((c) => (255 * (values[Math.min(c, channels - 1) * size + p]! - low)) / range);
    if (overlay) {
      let credit = 0;
      for (let c = 0; c < channels; c++) credit += overlay.credit[c * size + p]!;
      const part = share(credit, overlay.scale);
      const strength = Math.abs(part);
      const over = diverging(theme, Math.sign(part));
      const grey = 0.3 * colour[0]! + 0.59 * colour[1]! + 0.11 * colour[2]!;
      for (let c = 0; c < 3; c++) colour[c] = (grey * 0.6 + 50) * (1 - strength) + over[c]! * strength;
    }
    out.set([...colour, 255], 4 * p);
  }
  return out;
}

export function drawThumbnail(canvas: HTMLCanvasElement, thumbnail: Thumbnail): void {
  const { height, width } = thumbnail.shape;
  const context = canvas.getContext("2d");
  if (!context) return;
  const ratio = window.devicePixelRatio || 1;
  const [across, down] = [Math.round(canvas.clientWidth * ratio), Math.round(canvas.clientHeight * ratio)];
  if (!across || !down) return;
  [canvas.width, canvas.height] = [across, down];
  const small = document.createElement("canvas");
  [small.width, small.height] = [width, height];
  small.getContext("2d")?.putImageData(new ImageData(pixels(thumbnail), width, height), 0, 0);
  context.imageSmoothingEnabled = false;
  context.drawImage(small, 0, 0, across, down);
  const { patch } = thumbnail;
  if (!patch) return;
  const [sx, sy] = [across / width, down / height];
  const box = [patch.x * sx + ratio, patch.y * sy + ratio, patch.width * sx - 2 * ratio, patch.height * sy - 2 * ratio] as const;
  // Dark and light around the colour: legible on any image.
  for (const [colour, wide] of [["rgb(0 0 0 / .75)", 4.5], ["#fff", 3.2], [thumbnail.box, 1.8]] as const) {
    context.strokeStyle = colour;
    context.lineWidth = wide * ratio;
    context.strokeRect(...box);
  }
}
