/** What the canvas needs of a picture, from the choices on the page: for the panel and for the file that is saved. */

import type { TileMaps, TilePicture } from "../../canvas/tiles";
import { PALETTES } from "../../lib/palette";
import type { PlacedBlock, PlacedTile } from "../../lib/tableau";
import { credited } from "../../state/answers";
import * as atoms from "../../state/atoms";
import { type Picture, threshold } from "../../state/tableau";

/** The feature maps of a layer's units, where it has some. */
export const mapsOf = (block: PlacedBlock, shown: Picture): TileMaps | null =>
  (block.column > shown.target ? shown.later : credited.peek().data)?.maps.get(block.block.node) ?? null;

export const tilePicture = (shown: Picture, hovered: PlacedTile | null): TilePicture => ({
  tableau: shown.tableau, target: shown.target, maps: (block) => mapsOf(block, shown), threshold: threshold.peek(), hovered,
  theme: atoms.theme.peek(), palette: PALETTES[atoms.theme.peek()],
});
