import { afterEach, beforeEach, expect, it, vi } from "vitest";
import { SlicedSurface } from "./sliced";

const host = document.createElement("div");

beforeEach(() => {
  for (const side of ["clientWidth", "clientHeight"]) Object.defineProperty(host, side, { value: 100, configurable: true });
  vi.spyOn(HTMLCanvasElement.prototype, "getContext").mockImplementation(function (this: HTMLCanvasElement) {
    return { canvas: this, setTransform: () => undefined } as never;
  });
});
afterEach(() => void vi.restoreAllMocks());

const shown = (): string | undefined => [...host.querySelectorAll("canvas")].find((canvas) => canvas.style.opacity === "1")?.dataset["picture"];

it("shows only whole pictures, finishes each, and ends at what was asked for last", async () => {
  let asked = 0;
  const seen: (string | undefined)[] = [];
  const surface = new SlicedSurface(host, function* (_, context) {
    const picture = String(asked);
    for (let step = 0; step < 6; step++) {
      const end = performance.now() + 4;
      while (performance.now() < end);
      context.canvas.dataset["picture"] = `part of ${picture}`;
      seen.push(shown());
      // A stream of changes while it draws.
      if (asked < 3) (asked++, surface.invalidate());
      yield;
    }
    context.canvas.dataset["picture"] = picture;
  });
  await vi.waitFor(() => {
    expect(surface.drawing).toBe(false);
    expect(shown()).toBe("3");
  }, 3000);
  expect(seen.filter((picture) => picture?.startsWith("part"))).toEqual([]);
  surface.dispose();
  expect(host.querySelectorAll("canvas")).toHaveLength(0);
});
