/** The credit's picture as an image of its own, with what stands beside the tiles on the page written into it. */

import { pileName, signed } from "../lib/causewords";
import { formatCount } from "../lib/numbers";
import { SIZES, type PlacedBlock } from "../lib/tableau";
import { drawTiles, type TilePicture } from "./tiles";

/** Device pixels a pixel: sharp in print and on dense screens. */
const SCALE = 2;
const FONT = 'Roboto, "Segoe UI", system-ui, sans-serif';
const MARGIN = 16;
const LINE = 18;
/** From a tile's left edge to its text, as on the page. */
const BESIDE = SIZES.tile + 4;

/** `lines` stand above the picture, the first as its title. */
export function flowImage(picture: TilePicture, lines: readonly string[]): HTMLCanvasElement {
  const top = MARGIN + lines.length * LINE + 4;
  const { tableau, palette } = picture;
  const canvas = document.createElement("canvas");
  const context = canvas.getContext("2d")!;
  context.font = `600 13px ${FONT}`;
  const width = Math.max(tableau.width + MARGIN, ...lines.map((line) => context.measureText(line).width + 2 * MARGIN));
  [canvas.width, canvas.height] = [Math.ceil(width * SCALE), Math.ceil((top + tableau.height) * SCALE)];
  context.setTransform(SCALE, 0, 0, SCALE, 0, 0);
  context.fillStyle = palette.surface;
  context.fillRect(0, 0, width, top + tableau.height);
  context.textBaseline = "top";
  const write = (text: string, x: number, y: number, size: number, weight: number, colour: string): void => {
    context.font = `${weight} ${size}px ${FONT}`;
    context.fillStyle = colour;
    context.fillText(text, x, y);
  };
  lines.forEach((line, k) => write(line, MARGIN, MARGIN + k * LINE, k ? 12 : 13, k ? 400 : 600, k ? palette.muted : palette.text));
  context.translate(0, top);
  drawTiles(context, picture);
  for (const placed of tableau.blocks) label(placed, picture, write);
  return canvas;
}

function label({ block, column, x, y, tiles, piles }: PlacedBlock, { palette, target }: TilePicture, write: (text: string, x: number, y: number, size: number, weight: number, colour: string) => void): void {
  write(block.node.split(".").slice(-2).join("."), x - 2, y + 2, 12, 600, column === target ? palette.accent : palette.text);
  const [head, colour] = block.nonfinite ? [`${formatCount(block.nonfinite)} not finite`, palette.bad] : [signed(block.sum, 2), palette.muted];
  write(head, x - 2, y + 18, 11, 400, colour);
  for (const tile of tiles) {
    write(String(tile.unit), tile.x + BESIDE, tile.y + 4, 10, 400, palette.muted);
    write(signed(tile.credit, 2), tile.x + BESIDE, tile.y + 16, 11, 500, palette.text);
  }
  for (const pile of piles) {
    write(pileName(pile), pile.x + BESIDE, pile.y + 4, 10, 400, palette.muted);
    write(signed(pile.sum, 2), pile.x + BESIDE, pile.y + 16, 11, 500, palette.text);
  }
}
