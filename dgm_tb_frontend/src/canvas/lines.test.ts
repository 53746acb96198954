import { describe, expect, it } from "vitest";
import { snapshotAxis } from "../lib/axis";
import { breaks, columnsAt, heightsAt, insidePolygon, type Lines, linesIn, nearestLine, partsOf, tracePath, xOf } from "./lines";

const STEPS = new Float64Array([0, 10, 20, 30, 40]);

function lines(rows: readonly (readonly number[])[]): Lines {
  return {
    box: { width: 460, height: 120 }, frame: { x: 50, y: 10, width: 400, height: 100 }, axis: snapshotAxis(STEPS, { focus: 20, window: 2, following: false, range: null, level: 0 }),
    scale: { name: "linear", low: 0, high: 10, threshold: 1 }, count: rows.length, points: STEPS.length, values: Float32Array.from(rows.flat()), parts: null,
  };
}
const heightAt = (of: Lines, line: number, x: number): number => heightsAt(of, line, x)[0];
const all = (): boolean => true;

describe("nearestLine", () => {
  const three = lines([[1, 1, 1, 1, 1], [5, 5, 5, 5, 5], [9, 9, NaN, 9, 9]]);

  it("finds the line under the pointer, also between snapshots", () => {
    for (const x of [60, 150, 333]) for (const line of [0, 1]) expect(nearestLine(three, x, heightAt(three, line, x) + 3, 12, all)).toBe(line);
  });

  it("finds none beyond its reach, none where a line has no value, none that is not drawn", () => {
    expect(nearestLine(three, 100, 85, 12, all)).toBe(-1);
    expect(heightAt(three, 2, xOf(three, 2))).toBeNaN();
    expect(nearestLine(three, xOf(three, 2), 20, 12, all)).toBe(-1);
    expect(nearestLine(three, 60, 20, 12, (line) => line !== 2)).toBe(-1);
  });

  it("agrees with a scan over all lines", () => {
    const many = lines(Array.from({ length: 60 }, (_, i) => STEPS.reduce<number[]>((row, _s, k) => [...row, 5 + 5 * Math.sin(i * 1.7 + k)], [])));
    for (let x = 50; x <= 450; x += 23) for (let y = 10; y <= 110; y += 17) {
      const distances = Array.from({ length: 60 }, (_, line) => Math.abs(heightAt(many, line, x) - y));
      const best = nearestLine(many, x, y, 1000, all);
      expect(distances[best]).toBe(Math.min(...distances));
    }
  });
});

describe("linesIn", () => {
  const two = lines([[2, 2, 2, 2, 2], [2, 2, 9, 2, 2]]);

  it("takes the lines that pass through", () => {
    const atPeak = [[230, 12], [270, 12], [270, 40], [230, 40]] as const;
    expect(linesIn(two, atPeak, all)).toEqual([1]);
    const atFoot = [[60, 80], [440, 80], [440, 100], [60, 100]] as const;
    expect(linesIn(two, atFoot, all)).toEqual([0, 1]);
    expect(linesIn(two, atFoot, (line) => line === 0)).toEqual([0]);
  });

  it("tests a polygon narrower than a snapshot's distance, too", () => {
    expect(linesIn(two, [[80, 85], [90, 85], [90, 95], [80, 95]], all)).toEqual([0, 1]);
  });
});

it("insidePolygon knows a concave shape", () => {
  const u = [[0, 0], [10, 0], [10, 10], [7, 10], [7, 3], [3, 3], [3, 10], [0, 10]] as const;
  expect([[5, 1], [1, 8], [9, 8], [5, 8], [11, 5]].map(([x, y]) => insidePolygon(x!, y!, u))).toEqual([true, true, true, false, false]);
});

it("breaks says where values cease to be finite, not where the recording ends", () => {
  const broken = lines([[1, 1, NaN, NaN, 1], [2, 2, 2, 2, 2], [3, NaN, 3, NaN, NaN]]);
  expect(breaks(broken, 0).map(({ x }) => x)).toEqual([xOf(broken, 2)]);
  expect(breaks(broken, 1)).toEqual([]);
  expect(breaks(broken, 2).map(({ x }) => x)).toEqual([xOf(broken, 1), xOf(broken, 3)]);
});

describe("lines of points, two columns each", () => {
  const FRAME = { x: 0, y: 0, width: 300, height: 100 };
  const axis = snapshotAxis(Float64Array.from([0, 90, 100, 190, 200, 290]), { focus: 0, window: 2, following: false, range: [0, 300], level: 1 });
  const bands: Lines = { box: FRAME, frame: FRAME, axis, scale: { name: "linear", low: 0, high: 10, threshold: 1 }, count: 2, points: 6, parts: partsOf(axis, FRAME),
    values: Float32Array.from([1, 3, 1, 9, NaN, NaN, 4, 5, 4, 5, 4, 5]) };

  it("have two edges, the same all over a point", () => {
    for (const x of [100, 150, 190]) expect(heightsAt(bands, 0, x).map(Math.round)).toEqual([10, 90]);
    expect(heightsAt(bands, 0, 250)).toEqual([NaN, NaN]);
    expect([columnsAt(bands, 2), columnsAt(bands, 3)]).toEqual([[2, 3], [2, 3]]);
  });

  it("are hit inside, and where several overlap at the nearest edge", () => {
    expect(nearestLine(bands, 150, 30, 12, all)).toBe(0);
    expect(nearestLine(bands, 150, 55, 12, all)).toBe(1);
    expect(nearestLine(bands, 250, 30, 12, all)).toBe(-1);
    expect(linesIn(bands, [[120, 45], [170, 45], [170, 65], [120, 65]], all)).toEqual([0, 1]);
    expect(linesIn(bands, [[20, 45], [70, 45], [70, 65], [20, 65]], all)).toEqual([1]);
  });

  it("are drawn as closed outlines that never swing between least and greatest", () => {
    const calls: string[] = [];
    const context = { beginPath: () => calls.push("begin"), closePath: () => calls.push("close"), moveTo: (x: number, y: number) => calls.push(`M${x},${Math.round(y)}`), lineTo: (x: number, y: number) => calls.push(`${x},${Math.round(y)}`) };
    tracePath(context as unknown as CanvasRenderingContext2D, bands, 0);
    expect(calls).toEqual(["begin", "M0,70", "0,70", "90,70", "100,10", "190,10", "190,90", "100,90", "90,90", "0,90", "close"]);
  });
});
