/** The network's drawing: a canvas for frames, edges and charts beneath the nodes' cards; panning, zooming, moving. */

import { useEffect, useRef } from "preact/hooks";
import { effect } from "@preact/signals";
import { drawGraph, onScreen } from "../canvas/graph";
import { Surface } from "../canvas/surface";
import { opening, reveal, type Viewport } from "../canvas/viewport";
import { isGroup, nodeId, representative } from "../lib/hierarchy";
import type { Layout } from "../lib/layout";
import { EXTREME, PALETTES } from "../lib/palette";
import { closeAll, openToDepth } from "../state/actions";
import * as atoms from "../state/atoms";
import { gapOf, scales, sparkOf } from "../state/curves";
import { boxScore, focus, hierarchy, open, ranking, urgency } from "../state/getters";
import { animate, shiftOf } from "../state/motion";
import { placement } from "../state/placement";
import { probes } from "../state/probes";
import { anchor, panel, shown, view } from "../state/stage";
import { Cards } from "./cards";
import { drag, showAll, wheel, zoom } from "./navigate";

/** Edges that touch the chosen node or the one under the pointer. */
function litEdges(): ReadonlySet<number> {
  const of = new Set([atoms.hoveredNode.value, atoms.chosenNode.value].filter((name) => name !== null));
  const edges = atoms.graph.value.data?.edges ?? [];
  return new Set(edges.flatMap((edge, index) => (of.has(edge.source) || of.has(edge.target) ? [index] : [])));
}

/** Buttons for what wheel and double click do, in the panel's head. */
export function StageTools() {
  return (
    <span class="stage-tools">
      <button type="button" class="icon" aria-label="Open groups to a legible depth" title="Open groups to a legible depth" data-testid="open-depth" onClick={() => (openToDepth(), (view.value = null))}>⊞</button>
      <button type="button" class="icon" aria-label="Close all groups" title="Close all groups" data-testid="close-all" onClick={closeAll}>⊟</button>
      <button type="button" class="icon" aria-label="Zoom out" title="Zoom out (Ctrl-scroll)" data-testid="zoom-out" onClick={() => zoom(1 / 1.3)}>−</button>
      <button type="button" class="icon" aria-label="Zoom in" title="Zoom in (Ctrl-scroll)" data-testid="zoom-in" onClick={() => zoom(1.3)}>+</button>
      <button type="button" class="icon" aria-label="Show the whole network" title="Show the whole network" data-testid="fit" onClick={showAll}>⤢</button>
    </span>
  );
}

export function Stage() {
  const host = useRef<HTMLDivElement>(null);
  useEffect(() => mountStage(host.current!), []);
  return (
    <div class="stage" ref={host} data-testid="stage" onPointerDown={(event) => drag(event)}>
      <Cards />
    </div>
  );
}

/** Owns the canvas and what moves the viewport. The result takes it away. */
function mountStage(host: HTMLElement): () => void {
  const surface = new Surface(host, (s, context) => {
    const layout = shown.peek()?.layout;
    panel.value = { width: s.width, height: s.height };
    const at = view.peek() ?? (layout ? opening(layout, panel.peek()) : null);
    if (!layout || !at) return;
    if (view.peek() !== at) view.value = at;
    paint(context, s, layout, at);
  });
  surface.canvas.setAttribute("aria-hidden", "true");
  host.prepend(surface.canvas);
  let before: Layout | null = null;
  let frame = 0;
  const stopLayout = effect(() => {
    const { layout } = placement.value;
    cancelAnimationFrame(frame);
    if (layout && layout !== before) {
      const at = view.peek();
      const shift = before && at ? shiftOf(before, layout, anchor.peek()) : null;
      if (shift && at) view.value = { ...at, x: at.x + shift.x * at.zoom, y: at.y + shift.y * at.zoom };
      frame = animate(before, layout, shift);
    }
    before = layout;
  });
  const stopDrawing = effect(() => {
    void [view.value, shown.value, atoms.aggregates.value, atoms.theme.value, atoms.hoveredNode.value, atoms.chosenNode.value, atoms.hoveredStep.value, scales.value,
      atoms.pinned.value, atoms.program.value, atoms.quantity.value, atoms.windowSize.value, atoms.range.value, panel.value];
    surface.invalidate();
  });
  let done: typeof atoms.revealed.value = null;
  const stopReveal = effect(() => {
    const wanted = atoms.revealed.value;
    const { layout } = placement.value;
    if (!wanted || wanted === done || !layout || !hierarchy.peek() || !view.value) return;
    const target = representative(hierarchy.peek()!, open.peek(), wanted.node);
    const box = layout.boxes.find(({ id }) => id === target);
    if (!box) return;
    done = wanted;
    view.value = reveal(view.peek()!, box, panel.peek());
  });
  const stopSeeking = effect(() => {
    const { data, loading } = atoms.aggregates.value;
    if (!atoms.seekingJump.value || loading || !data || data.focus !== focus.value || !view.peek() || !hierarchy.peek()) return;
    atoms.seekingJump.value = false;
    const top = ranking.peek()[0];
    const box = top && urgency(top) >= EXTREME && shown.peek()?.layout.boxes.find(({ id }) => id === representative(hierarchy.peek()!, open.peek(), top.node));
    if (box) view.value = reveal(view.peek()!, box, panel.peek());
  });
  // A run of another shape starts at its own opening view.
  view.value = null;
  let structure = atoms.graph.peek().data?.id ?? "";
  const stopStructure = effect(() => {
    const id = atoms.graph.value.data?.id ?? "";
    if (id && structure && id !== structure) (before = null), (view.value = null);
    if (id) structure = id;
  });
  const onWheel = (event: WheelEvent): void => wheel(event, host);
  host.addEventListener("wheel", onWheel, { passive: false });
  probes.boxes = () => {
    const { layout } = placement.peek();
    const at = view.peek();
    if (!layout || !at) return [];
    const origin = host.getBoundingClientRect();
    return layout.boxes.map((box) => {
      const frame = onScreen(box, at);
      return { id: box.id, open: box.open, box: { ...frame, x: frame.x + origin.left, y: frame.y + origin.top } };
    });
  };
  return () => {
    [stopLayout, stopDrawing, stopReveal, stopSeeking, stopStructure].forEach((stop) => stop());
    host.removeEventListener("wheel", onWheel);
    cancelAnimationFrame(frame);
    surface.dispose();
    probes.boxes = () => [];
  };
}

function paint(context: CanvasRenderingContext2D, surface: Surface, layout: Layout, view: Viewport): void {
  const lookup = hierarchy.peek();
  const hovered = atoms.hoveredNode.peek();
  const hoveredBox = lookup && hovered !== null && lookup.nodes.has(hovered) ? representative(lookup, open.peek(), hovered) : null;
  drawGraph(context, surface.width, surface.height, {
    layout,
    view,
    palette: PALETTES[atoms.theme.peek()],
    lit: litEdges(),
    linkStrength: shown.peek()?.progress ?? 1,
    look: (box) => {
      const score = boxScore(box.id);
      return {
        score: score ? urgency(score) : NaN,
        broke: score?.broke ?? false,
        chosen: box.id === nodeId(atoms.chosenNode.peek() ?? ""),
        hovered: box.id === hoveredBox,
        group: isGroup(box.id),
        spark: score ? sparkOf(score.row) : null,
        gap: score ? null : gapOf(box.id),
        hoveredStep: atoms.hoveredStep.peek(),
      };
    },
  });
}
