import { describe, expect, it } from "vitest";
import { confine, fit, opening, reveal, type Viewport, zoomAbout } from "./viewport";

const panel = { width: 600, height: 400 };
const at = (view: Viewport, x: number, y: number): [number, number] => [x * view.zoom + view.x, y * view.zoom + view.y];

describe("viewport", () => {
  it("fits the whole graph", () => {
    for (const graph of [{ width: 300, height: 3000 }, { width: 4000, height: 100 }, { width: 10, height: 10 }]) {
      const view = fit(graph, panel);
      expect(at(view, 0, 0).every((v) => v >= 0)).toBe(true);
      const [x, y] = at(view, graph.width, graph.height);
      expect(x).toBeLessThanOrEqual(600);
      expect(y).toBeLessThanOrEqual(400);
      expect(view.zoom).toBeLessThanOrEqual(1);
    }
  });

  it("opens legibly: the whole if it can be read, else its top", () => {
    expect(opening({ width: 300, height: 500 }, panel)).toEqual(fit({ width: 300, height: 500 }, panel));
    const tall = opening({ width: 300, height: 9000 }, panel);
    expect(tall.zoom).toBeGreaterThan(0.6);
    expect(at(tall, 0, 0)[1]).toBeGreaterThan(0);
  });

  it("zooms about the pointer", () => {
    const view = { x: 13, y: -7, zoom: 0.8 };
    const zoomed = zoomAbout(view, 1.5, 200, 100);
    const [gx, gy] = [(200 - view.x) / view.zoom, (100 - view.y) / view.zoom];
    expect(at(zoomed, gx, gy).map(Math.round)).toEqual([200, 100]);
    expect(zoomAbout(view, 1e9, 0, 0).zoom).toBeLessThanOrEqual(2);
    expect(zoomAbout(view, 1e-9, 0, 0).zoom).toBeGreaterThan(0.03);
  });

  it("never loses the graph, and reveals without moving needlessly", () => {
    const graph = { width: 500, height: 2000 };
    for (const lost of [{ x: 9e3, y: 9e3, zoom: 1 }, { x: -9e3, y: -9e3, zoom: 0.3 }]) {
      const view = confine(lost, graph, panel);
      expect(at(view, 0, 0).every((v, i) => v < [600, 400][i]!)).toBe(true);
      expect(at(view, 500, 2000).every((v) => v > 0)).toBe(true);
    }
    const view = { x: 0, y: 0, zoom: 1 };
    const box = { x: 100, y: 1500, width: 150, height: 60 };
    const moved = reveal(view, box, panel);
    expect(at(moved, 100, 1500)[1]).toBeGreaterThan(0);
    expect(at(moved, 100, 1560)[1]).toBeLessThan(400);
    expect(reveal(moved, box, panel)).toEqual(moved);
  });
});
