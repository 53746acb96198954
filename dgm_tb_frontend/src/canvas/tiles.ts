/** The credit's picture: edges beneath, tiles above – a colour a unit, or its feature map – and piles for the rest. */

import { css, diverging } from "../lib/diverging";
import { mix, type Palette } from "../lib/palette";
import { SIZES, type PlacedBlock, type PlacedPile, type PlacedTile, type Tableau } from "../lib/tableau";
import { share } from "../lib/share";
import { cross } from "./spark";

export interface TileMaps {
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

export interface TilePicture {
  readonly tableau: Tableau;
  readonly maps: (block: PlacedBlock) => TileMaps | null;
  readonly target: number;
  /** Edges below this share are not drawn. */
  readonly threshold: number;
  /** A tile whose edges stand out; the others then stand back. */
  readonly hovered: PlacedTile | null;
  readonly theme: "light" | "dark";
  readonly palette: Palette;
}

export function drawTiles(context: CanvasRenderingContext2D, picture: TilePicture): void {
  const { tableau, palette } = picture;
  for (const placed of tableau.blocks) ground(context, placed, picture);
  drawEdges(context, picture);
  for (const placed of tableau.blocks) {
    const maps = picture.maps(placed);
    const scale = maps ? greatest(maps.data, placed) : 0;
    bindClusters(context, placed, picture);
    for (const tile of placed.tiles) {
      paper(context, tile, picture);
      if (maps && maps.shape[1]! * maps.shape[2]! > 1) drawMap(context, tile, maps, scale, picture.theme);
      else {
        context.fillStyle = css(diverging(picture.theme, tile.share));
        context.fillRect(tile.x, tile.y + 2, SIZES.tile, SIZES.tile);
      }
      // The frame says the sign and size of the whole unit, also where a map mixes both.
      context.strokeStyle = mix(palette.border, hex(diverging(picture.theme, Math.sign(tile.share))), Math.min(1, 0.25 + Math.abs(tile.share)));
      context.lineWidth = tile === picture.hovered ? 2.5 : 1.25;
      context.strokeRect(tile.x + 0.5, tile.y + 2.5, SIZES.tile - 1, SIZES.tile - 1);
    }
    for (const pile of placed.piles) drawPile(context, pile, picture);
    if (placed.block.nonfinite && !placed.tiles.length) {
      context.strokeStyle = palette.bad;
      cross(context, placed.x + SIZES.tile / 2, placed.y + SIZES.head + SIZES.tile / 2, 8);
    }
  }
}

/** What lies under a column: nothing for most, a card for the target. */
function ground(context: CanvasRenderingContext2D, { column, x, y, width, height }: PlacedBlock, { target, palette }: TilePicture): void {
  if (column !== target) return;
  context.fillStyle = palette.accentSoft;
  context.beginPath();
  context.roundRect(x - 10, y - 4, Math.max(width + 16, SIZES.card), height + 10, 8);
  context.fill();
  context.strokeStyle = palette.accent;
  context.lineWidth = 1;
  context.stroke();
}

/** A tint beneath units that are alike; clusters beside each other stay apart. */
function bindClusters(context: CanvasRenderingContext2D, { tiles }: PlacedBlock, { palette, hovered }: TilePicture): void {
  const at = new Map(tiles.map((tile) => [`${tile.x},${tile.y}`, tile.alike]));
  for (const { x, y, alike } of tiles) {
    if (alike.length < 2) continue;
    const room = (dx: number, dy: number): number => (at.get(`${x + dx},${y + dy}`) === alike ? 0 : 1.5);
    const [left, right, up, down] = [room(-SIZES.cell, 0), room(SIZES.cell, 0), room(0, -SIZES.row), room(0, SIZES.row)];
    context.globalAlpha = hovered?.alike === alike ? 0.16 : 0.07;
    context.fillStyle = palette.text;
    context.fillRect(x - 4 + left, y - 1 + up, SIZES.cell - left - right, SIZES.row - up - down);
  }
  context.globalAlpha = 1;
}

/** So that edges that run beneath do not shine through. */
function paper(context: CanvasRenderingContext2D, tile: PlacedTile, { palette }: TilePicture): void {
  context.fillStyle = palette.surface;
  context.fillRect(tile.x - 1, tile.y + 1, SIZES.tile + 2, SIZES.tile + 2);
}

function drawEdges(context: CanvasRenderingContext2D, { tableau, threshold, hovered, theme }: TilePicture): void {
  const strong = tableau.edges.filter((edge) => Math.abs(edge.share) >= threshold || edge.tile === hovered);
  // The strongest last, on top.
  for (const edge of [...strong].sort((a, b) => Math.abs(a.share) - Math.abs(b.share))) {
    const [[x0, y0], [x1, y1]] = [edge.from, edge.to];
    const bend = Math.max(24, (x1 - x0) * 0.5);
    context.strokeStyle = css(diverging(theme, Math.sign(edge.share)));
    context.globalAlpha = hovered ? (edge.tile === hovered ? 0.95 : 0.1) : 0.2 + 0.55 * Math.abs(edge.share);
    context.lineWidth = edge.width;
    context.beginPath();
    context.moveTo(x0, y0);
    context.bezierCurveTo(x0 + bend, y0, x1 - bend, y1, x1, y1);
    context.stroke();
  }
  context.globalAlpha = 1;
}

/** The largest size in the maps of the tiles that are drawn. */
function greatest(data: Float32Array, { tiles, block }: PlacedBlock): number {
  const size = data.length / block.units;
  let most = 0;
  for (const { unit } of tiles) for (let k = unit * size; k < (unit + 1) * size; k++) if (Math.abs(data[k]!) > most) most = Math.abs(data[k]!);
  return most;
}

function drawMap(context: CanvasRenderingContext2D, tile: PlacedTile, maps: TileMaps, scale: number, theme: "light" | "dark"): void {
  const [, height = 1, width = 1] = maps.shape;
  const [dx, dy] = [SIZES.tile / width, SIZES.tile / height];
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) {
      context.fillStyle = css(diverging(theme, share(maps.data[(tile.unit * height + y) * width + x]!, scale)));
      // A little over, or seams show between cells.
      context.fillRect(tile.x + x * dx, tile.y + 2 + y * dy, dx + 0.4, dy + 0.4);
    }
  }
}

/** A pile of sheets. */
function drawPile(context: CanvasRenderingContext2D, { x, y, share: part }: PlacedPile, { theme, palette }: TilePicture): void {
  const side = SIZES.tile - 10;
  context.lineWidth = 1;
  context.strokeStyle = palette.border;
  for (const by of [8, 4, 0]) {
    context.fillStyle = by ? palette.surface : css(diverging(theme, part));
    context.fillRect(x + by, y + 4 + by, side, side);
    context.strokeRect(x + by + 0.5, y + 4 + by + 0.5, side - 1, side - 1);
  }
}

const hex = (rgb: readonly number[]): string => `#${rgb.map((value) => value.toString(16).padStart(2, "0")).join("")}`;
