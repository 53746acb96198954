/** Where things are on screen, as the views know it; only `model.ts` asks. */

export interface Place {
  readonly x: number;
  readonly y: number;
}

export interface Rect extends Place {
  readonly width: number;
  readonly height: number;
}

/** All places are in pixels of the tab's page. Null where the thing is not on show. */
export interface Probes {
  lossPoint: (step: number) => Place | null;
  boxes: () => readonly { readonly id: string; readonly box: Rect; readonly open: boolean }[];
  /** Whether the layer's picture is still being drawn. */
  drawing: () => boolean;
  unitPoint: (unit: number, step: number) => Place | null;
}

export const probes: Probes = { lossPoint: () => null, boxes: () => [], drawing: () => false, unitPoint: () => null };
