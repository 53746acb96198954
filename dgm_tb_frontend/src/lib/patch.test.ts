import { describe, expect, it } from "vitest";
import { imageShape, responsible } from "./patch";

/** The slow twin: every window summed anew. */
function slow(credit: Float32Array, channels: number, height: number, width: number): readonly [x: number, y: number, size: number] | null {
  const [h, w] = [Math.ceil(height / 4), Math.ceil(width / 4)];
  let best: readonly [number, number, number] | null = null;
  for (let y = 0; y <= height - h; y++) {
    for (let x = 0; x <= width - w; x++) {
      let sum = 0;
      for (let c = 0; c < channels; c++) for (let dy = 0; dy < h; dy++) for (let dx = 0; dx < w; dx++) sum += credit[(c * height + y + dy) * width + x + dx]!;
      if (Math.abs(sum) > (best?.[2] ?? 0) + 1e-9) best = [x, y, Math.abs(sum)];
    }
  }
  return best;
}

describe("the responsible patch", () => {
  it("is the window that a slow search finds", () => {
    let seed = 1;
    const random = (): number => ((seed = (seed * 48271) % 2147483647) / 2147483647) - 0.5;
    for (const [channels, height, width] of [[1, 4, 4], [3, 9, 13], [3, 32, 32]] as const) {
      const credit = Float32Array.from({ length: channels * height * width }, random);
      const [x, y, size] = slow(credit, channels, height, width)!;
      const found = responsible(credit, channels, height, width)!;
      expect([found.x, found.y, found.width, found.height]).toEqual([x, y, Math.ceil(width / 4), Math.ceil(height / 4)]);
      expect(Math.abs(found.credit)).toBeCloseTo(size, 4);
    }
  });

  it("lies around what pulls down as well", () => {
    const credit = new Float32Array(64);
    credit[8 * 5 + 6] = -3;
    credit[0] = 2;
    expect(responsible(credit, 1, 8, 8)).toMatchObject({ x: 5, y: 4, credit: -3 });
  });

  it("is none where nothing is credited, or it is not finite", () => {
    expect(responsible(new Float32Array(48), 3, 4, 4)).toBeNull();
    expect(responsible(new Float32Array(16).fill(NaN), 1, 4, 4)).toBeNull();
  });
});

describe("an image", () => {
  it("has one or three channels, or none", () => {
    expect(imageShape([32, 3, 32, 32])).toEqual({ channels: 3, height: 32, width: 32 });
    expect(imageShape([8, 28, 28])).toEqual({ channels: 1, height: 28, width: 28 });
    expect([imageShape([32, 10]), imageShape([32, 64, 8, 8]), imageShape([6]), imageShape([4, 3, 1, 9])]).toEqual([null, null, null, null]);
  });
});
