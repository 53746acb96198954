/** Where the columns, layers, tiles and edges of the credit's picture stand (pure). */

import type { Block, Column, Pile, Tile } from "./share";

/** Sizes in pixels. */
export const SIZES = { tile: 30, cell: 84, row: 36, head: 40, gap: 48, widest: 120, card: 134, apart: 14, pad: 16 } as const;

export interface PlacedTile extends Tile {
  readonly x: number;
  readonly y: number;
}

export interface PlacedPile extends Pile {
  readonly x: number;
  readonly y: number;
}

/** What the arrow keys lead over. */
export type Cell = PlacedTile | PlacedPile;

export interface PlacedBlock {
  readonly block: Block;
  readonly column: number;
  readonly x: number;
  readonly y: number;
  readonly width: number;
  readonly height: number;
  readonly tiles: readonly PlacedTile[];
  /** Beneath the tiles. */
  readonly piles: readonly PlacedPile[];
}

/** From a unit to the layer that it feeds (before the target), or from a layer to the unit that it feeds (after). */
export interface Edge {
  readonly tile: PlacedTile;
  readonly share: number;
  readonly from: readonly [x: number, y: number];
  readonly to: readonly [x: number, y: number];
  readonly width: number;
}

export interface Tableau {
  readonly width: number;
  readonly height: number;
  readonly blocks: readonly PlacedBlock[];
  readonly edges: readonly Edge[];
}

export interface Plan {
  /** From left to right, in data-flow order. */
  readonly columns: readonly Column[];
  /** Which of them is the target's. */
  readonly target: number;
  /** Node → the nodes that it feeds. */
  readonly links: readonly (readonly [from: string, to: string])[];
  /** Cells beside each other within a column. */
  readonly across: number;
  /** Pixels that there are; columns move apart to fill them, as far as `SIZES.widest`. */
  readonly room: number;
}

/** Rows that a layer's tiles and piles fill. */
const rowsOf = (block: Block, across: number): number => Math.ceil((block.tiles.length + block.piles.length) / across);
const heightOf = (block: Block, across: number): number => SIZES.head + Math.max(1, rowsOf(block, across)) * SIZES.row;

/** Pixels that so many columns need. The last one's name, or the card of a target, may be wider than it. */
export const leastWidth = (columns: number, across: number): number =>
  2 * SIZES.pad + columns * across * SIZES.cell + (columns - 1) * SIZES.gap + Math.max(0, SIZES.card - across * SIZES.cell - SIZES.pad);

/** Places everything; columns are centred on one another. */
export function tableau({ columns, target, links, across, room }: Plan): Tableau {
  const tall = columns.map(({ blocks }) => blocks.reduce((sum, block) => sum + heightOf(block, across), (blocks.length - 1) * SIZES.apart));
  const height = Math.max(0, ...tall) + 2 * SIZES.pad;
  const width = across * SIZES.cell;
  const gap = columns.length < 2 ? SIZES.gap : Math.min(SIZES.widest, Math.max(SIZES.gap, Math.floor((room - leastWidth(columns.length, across) + (columns.length - 1) * SIZES.gap) / (columns.length - 1))));
  const blocks = columns.flatMap((column, k) => {
    let y = (height - tall[k]!) / 2;
    const x = SIZES.pad + k * (width + gap);
    return column.blocks.map((block): PlacedBlock => {
      const cell = (index: number): { x: number; y: number } => ({ x: x + (index % across) * SIZES.cell, y: y + SIZES.head + Math.floor(index / across) * SIZES.row });
      const placed = { block, column: k, x, y, width, height: heightOf(block, across), tiles: block.tiles.map((tile, i): PlacedTile => ({ ...tile, ...cell(i) })),
        piles: block.piles.map((pile, i): PlacedPile => ({ ...pile, ...cell(block.tiles.length + i) })) };
      y += placed.height + SIZES.apart;
      return placed;
    });
  });
  return { width: leastWidth(columns.length, across) + (columns.length - 1) * (gap - SIZES.gap), height, blocks, edges: edges(blocks, target, links) };
}

/** Each tile is joined to the layer next to it in the direction of the target; the target's own are not. */
function edges(blocks: readonly PlacedBlock[], target: number, links: Plan["links"]): Edge[] {
  const byNode = new Map(blocks.map((block) => [block.block.node, block]));
  const weight = ({ block }: PlacedBlock): number => Math.abs(block.sum) || 0;
  return blocks.flatMap((placed) => {
    if (placed.column === target) return [];
    const before = placed.column < target;
    const joined = links.flatMap(([from, to]) => {
      const other = byNode.get(before ? (from === placed.block.node ? to : "") : to === placed.block.node ? from : "");
      return other && (before ? other.column > placed.column && other.column <= target : other.column < placed.column && other.column >= target) ? [other] : [];
    });
    // Where a layer feeds several, how much of a unit's credit takes which way is not known: it is split as theirs is.
    const total = joined.reduce((sum, other) => sum + weight(other), 0);
    return placed.tiles.flatMap((tile) => joined.map((other): Edge => {
      const part = joined.length === 1 || total === 0 ? 1 / joined.length : weight(other) / total;
      const middle = other.y + SIZES.head + (other.height - SIZES.head) / 2;
      // Lines run beside a layer's cells, not through them; units of one row begin apart.
      const own = tile.y + SIZES.tile / 2 + 2 + ((tile.x - placed.x) / SIZES.cell) * 5;
      return before
        ? { tile, share: tile.share * part, from: [placed.x + placed.width - 4, own], to: [other.x - 7, middle], width: thickness(tile.share * part) }
        : { tile, share: tile.share * part, from: [other.x + (other.column === target ? Math.max(other.width + 4, SIZES.card - 12) : other.width + 2), middle], to: [placed.x - 3, own], width: thickness(tile.share * part) };
    }));
  });
}

const thickness = (share: number): number => 0.6 + 3.4 * Math.abs(share);

export const cellsOf = (block: PlacedBlock): readonly Cell[] => [...block.tiles, ...block.piles];

/** The tile or pile that an arrow key leads to: the next of the same column, or the nearest of the neighbouring one. */
export function neighbour(blocks: readonly PlacedBlock[], from: Cell, key: string): Cell | null {
  const column = blocks.find((block) => cellsOf(block).includes(from))?.column ?? -1;
  const inColumn = (k: number): Cell[] => blocks.filter((block) => block.column === k).flatMap(cellsOf);
  const best = (cells: readonly Cell[], cost: (cell: Cell) => number): Cell | null =>
    cells.reduce<Cell | null>((found, tile) => (cost(tile) < Infinity && (!found || cost(tile) < cost(found)) ? tile : found), null);
  const ways: Readonly<Record<string, () => Cell | null>> = {
    ArrowUp: () => best(inColumn(column), (tile) => (tile.y < from.y ? from.y - tile.y + Math.abs(tile.x - from.x) * 4 : Infinity)),
    ArrowDown: () => best(inColumn(column), (tile) => (tile.y > from.y ? tile.y - from.y + Math.abs(tile.x - from.x) * 4 : Infinity)),
    ArrowLeft: () => sideways(-1),
    ArrowRight: () => sideways(1),
  };
  const sideways = (by: 1 | -1): Cell | null => {
    const beside = best(inColumn(column), (tile) => (tile.y === from.y && (tile.x - from.x) * by > 0 ? Math.abs(tile.x - from.x) : Infinity));
    if (beside) return beside;
    const count = Math.max(...blocks.map((block) => block.column));
    for (let k = column + by; k >= 0 && k <= count; k += by) {
      const found = best(inColumn(k), (tile) => Math.abs(tile.y - from.y) + Math.abs(tile.x - from.x) * 0.1);
      if (found) return found;
    }
    return null;
  };
  return ways[key]?.() ?? null;
}
