/** The network in small beside it: where one is, where it is hot; click or drag to go there. */

import { useEffect, useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import { centredAt, drawMap, mapSize } from "../canvas/minimap";
import { Surface } from "../canvas/surface";
import { confine, type Extent } from "../canvas/viewport";
import { nodeId } from "../lib/hierarchy";
import { PALETTES } from "../lib/palette";
import * as atoms from "../state/atoms";
import { boxScore, urgency } from "../state/getters";
import { placement } from "../state/placement";
import { panel, view } from "../state/stage";

/** Beneath the list of jumps, so that it covers nothing. */
export function Minimap() {
  const layout = placement.value.layout;
  if (!layout?.boxes.length) return null;
  const { width, height } = mapSize(layout);
  return <MapCanvas key={`${width}×${height}`} width={width} height={height} />;
}

const heatScore = (id: string): number => {
  const score = boxScore(id);
  return score ? urgency(score) : NaN;
};

function MapCanvas({ width, height }: Extent) {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const surface = new Surface(host.current!, (_, context) => {
      const layout = placement.peek().layout;
      if (!layout || !view.peek()) return;
      drawMap(context, { layout, view: view.peek()!, panel: panel.peek(), palette: PALETTES[atoms.theme.peek()], scoreOf: (id) => heatScore(id), chosen: nodeId(atoms.chosenNode.peek() ?? "") });
    });
    const stop = effect(() => {
      void [view.value, panel.value, placement.value, atoms.aggregates.value, atoms.theme.value, atoms.chosenNode.value];
      surface.invalidate();
    });
    return () => (stop(), surface.dispose());
  }, []);
  const go = (event: PointerEvent): void => {
    const layout = placement.peek().layout;
    const box = host.current!.getBoundingClientRect();
    if (layout && view.peek()) view.value = confine(centredAt(layout, view.peek()!, panel.peek(), event.clientX - box.left, event.clientY - box.top), layout, panel.peek());
  };
  return (
    <div class="minimap" ref={host} aria-hidden="true" data-testid="minimap" style={{ width: `${width}px`, height: `${height}px` }}
      onPointerDown={(event) => (event.stopPropagation(), event.currentTarget.setPointerCapture(event.pointerId), go(event))}
      onPointerMove={(event) => void (event.buttons & 1 && go(event))} />
  );
}
