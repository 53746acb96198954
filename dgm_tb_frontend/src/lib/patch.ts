/** The part of an image that is responsible: the window with the largest |credit| (pure). */

export interface Patch {
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly credit: number;
}

/** Of the image's sides, how much the window spans. */
const SPAN = 1 / 4;

/**
 * Of one sample's credit `[channels, height, width]`, flat, the window whose summed credit is the largest in size; of
 * equals the first. Null where nothing is credited.
 */
export function responsible(credit: Float32Array, channels: number, height: number, width: number): Patch | null {
  const [h, w] = [Math.max(1, Math.ceil(height * SPAN)), Math.max(1, Math.ceil(width * SPAN))];
  // Summed-area table: a window's sum in four look-ups.
  const table = new Float64Array((height + 1) * (width + 1));
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      let here = 0;
      for (let c = 0; c < channels; c++) here += credit[(c * height + y) * width + x]!;
      table[(y + 1) * (width + 1) + x + 1] = here + table[y * (width + 1) + x + 1]! + table[(y + 1) * (width + 1) + x]! - table[y * (width + 1) + x]!;
    }
  }
  const at = (y: number, x: number): number => table[y * (width + 1) + x]!;
  let best: Patch | null = null;
  for (let y = 0; y + h <= height; y++) {
    for (let x = 0; x + w <= width; x++) {
      const sum = at(y + h, x + w) - at(y, x + w) - at(y + h, x) + at(y, x);
      if (sum !== 0 && Number.isFinite(sum) && Math.abs(sum) > Math.abs(best?.credit ?? 0)) best = { x, y, width: w, height: h, credit: sum };
    }
  }
  return best;
}

export interface ImageShape {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
}

/** Whether a batch's tensor can be drawn as images: batch, 1 or 3 channels, height and width; or without channels. */
export function imageShape(shape: readonly number[]): ImageShape | null {
  const [, a = 0, b = 0, c = 0] = shape;
  if (shape.length === 4 && (a === 1 || a === 3) && b > 3 && c > 3) return { channels: a, height: b, width: c };
  return shape.length === 3 && a > 7 && b > 7 ? { channels: 1, height: a, width: b } : null;
}
