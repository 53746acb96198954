import { describe, expect, it } from "vitest";
import { column } from "./share";
import { leastWidth, neighbour, SIZES, tableau } from "./tableau";

const values = (...list: number[]): Float32Array => Float32Array.from(list);
const COLUMNS = [column([["a", values(4, -2, 1), null]], 2), column([["b", values(3), null], ["c", values(1), null]], 4), column([["t", values(1, 2), null]], 2), column([["z", values(5, 0), null]], 2)];
const LINKS = [["a", "b"], ["a", "c"], ["b", "t"], ["c", "t"], ["t", "z"], ["a", "z"]] as const;
const PLAN = { columns: COLUMNS, target: 2, links: LINKS, across: 1, room: 0 };

describe("the picture", () => {
  const made = tableau(PLAN);

  it("holds everything within itself, nothing upon another", () => {
    for (const { x, y, width, height } of made.blocks) {
      expect(x).toBeGreaterThanOrEqual(0);
      expect(x + Math.max(width, SIZES.card)).toBeLessThanOrEqual(made.width + SIZES.gap);
      expect(x + width).toBeLessThanOrEqual(made.width);
      expect(y + height).toBeLessThanOrEqual(made.height);
    }
    const tiles = made.blocks.flatMap((block) => [...block.tiles, ...block.piles]);
    expect(new Set(tiles.map(({ x, y }) => `${x},${y}`)).size).toBe(tiles.length);
  });

  it("joins a unit to the layers that it feeds on the way to the target, split as their credit is", () => {
    const from = made.edges.filter(({ tile }) => tile.node === "a" && tile.unit === 0);
    expect(from.map(({ share }) => share)).toEqual([0.75, 0.25]);
    for (const { from: [x0], to: [x1] } of made.edges) expect(x1).toBeGreaterThan(x0);
    expect(made.edges.filter(({ tile }) => tile.node === "t")).toEqual([]);
    expect(made.edges.filter(({ tile }) => tile.node === "z")).toHaveLength(1);
  });

  it("moves columns apart where there is room, not without end", () => {
    expect(tableau({ ...PLAN, room: made.width + 90 }).width).toBe(made.width + 90);
    expect(tableau({ ...PLAN, room: 9999 }).width).toBe(leastWidth(4, 1) + 3 * (SIZES.widest - SIZES.gap));
  });

  it("of the target alone is just that", () => {
    expect(tableau({ ...PLAN, columns: [COLUMNS[2]!], target: 0 }).edges).toEqual([]);
  });
});

describe("arrow keys", () => {
  const { blocks } = tableau(PLAN);
  const tile = (node: string, unit: number) => blocks.flatMap((block) => block.tiles).find((one) => one.node === node && one.unit === unit)!;

  it("lead to the next tile of the column, across its layers, and to the nearest of the next", () => {
    expect(neighbour(blocks, tile("a", 0), "ArrowDown")).toBe(tile("a", 1));
    expect(neighbour(blocks, tile("b", 0), "ArrowDown")).toBe(tile("c", 0));
    expect(neighbour(blocks, tile("a", 1), "ArrowDown")).toMatchObject({ node: "a", way: "up", units: [2] });
    expect(neighbour(blocks, tile("a", 0), "ArrowUp")).toBeNull();
    expect(neighbour(blocks, tile("t", 1), "ArrowRight")).toBe(tile("z", 0));
    expect(neighbour(blocks, tile("t", 1), "ArrowLeft")?.node).toMatch(/[bc]/);
    expect(neighbour(blocks, tile("a", 0), "Enter")).toBeNull();
  });
});
