/** Layers before ◄ target ► after: units as tiles, strong edges, piles for the rest. A click on one walks on to it. */

import { useEffect, useRef } from "preact/hooks";
import { effect, signal } from "@preact/signals";
import { drawTiles } from "../../canvas/tiles";
import { Surface } from "../../canvas/surface";
import { alikeWords, CAUSE_WORDS, percent, pileName, signed } from "../../lib/causewords";
import { css, diverging } from "../../lib/diverging";
import { formatCount } from "../../lib/numbers";
import { type Cell, neighbour, type PlacedBlock, type PlacedPile, type PlacedTile, SIZES } from "../../lib/tableau";
import { share } from "../../lib/share";
import * as atoms from "../../state/atoms";
import { credited, onward } from "../../state/answers";
import { explained, to, walkTo } from "../../state/cause";
import { reach, threshold, tileBudget } from "../../state/tableau";
import { hierarchy } from "../../state/getters";
import { aimed, picture, type Picture, room } from "../../state/tableau";
import { Slider } from "../control";
import { mapsOf, tilePicture } from "./tilepicture";
import { TARGET } from "./trail";

const TILES = { min: 6, max: 42, step: 6 };
const REACH = { min: 1, max: 24 };

/** The tile under the pointer or the keyboard. */
const hovered = signal<PlacedTile | null>(null);

export function Flow() {
  const shown = picture.value;
  const scroller = useRef<HTMLDivElement>(null);
  useEffect(() => {
    const box = scroller.current;
    if (!box) return;
    const observer = new ResizeObserver(() => void (room.value = box.clientWidth));
    observer.observe(box);
    return () => observer.disconnect();
  }, []);
  const [place, columns] = [shown?.target ?? -1, shown?.columns.length ?? 0];
  useEffect(() => {
    hovered.value = null;
    const [box, block] = [scroller.current, shown?.tableau.blocks.find((one) => one.column === shown.target)];
    if (box && block && box.scrollWidth > box.clientWidth) box.scrollLeft = block.x + block.width / 2 - box.clientWidth * 0.6;
  }, [place, columns, shown?.tableau.width]);
  return (
    <div class="flow" data-testid="credit-flow">
      <div class="flow-scroll" ref={scroller}>
        {shown ? <Tableau shown={shown} /> : <div class="flow-empty">{credited.value.state !== "failed" && credited.value.state !== "idle" && <div class="skeleton" />}</div>}
      </div>
      {shown && <Footer shown={shown} />}
    </div>
  );
}

function Footer({ shown }: { shown: Picture }) {
  const theme = atoms.theme.value;
  const stops = [-1, -0.5, 0, 0.5, 1].map((at) => css(diverging(theme, at))).join(", ");
  const [before, after] = shown.beyond;
  return (
    <footer class="panel-foot flow-foot">
      <span class="legend">
        <span title={CAUSE_WORDS.share}>−1 pulls down<i class="key-diverging" style={{ background: `linear-gradient(90deg, ${stops})` }} />pushes up +1</span>
        <span title={CAUSE_WORDS.edge}><i class="key-edge" />a unit’s credit on its way</span>
        {before + after > 0 && <span>{before > 0 && `${before} earlier`}{before > 0 && after > 0 && ", "}{after > 0 && `${after} later`} columns not shown</span>}
        <WithoutLater shown={shown} />
        {shown.idle.length > 0 && <span title={shown.idle.join(", ")}>{formatCount(shown.idle.length)} layer{shown.idle.length > 1 ? "s take" : " takes"} no part</span>}
      </span>
      <span class="flow-tools">
        <Slider label="Edges from" name="edges" min={0} max={1} step={0.05} value={threshold.value} shown={threshold.value.toFixed(2)} onInput={(value) => (threshold.value = value)} />
        <Slider label="Tiles" name="tiles" {...TILES} value={tileBudget.value ?? shown.most} shown={`${tileBudget.value ?? shown.most}`} onInput={(value) => (tileBudget.value = value)} />
        <Slider label="Layers" name="reach" {...REACH} value={reach.value} shown={`± ${reach.value}`} onInput={(value) => (reach.value = value)} />
      </span>
    </footer>
  );
}

function Tableau({ shown }: { shown: Picture }) {
  const host = useRef<HTMLDivElement>(null);
  const { tableau, target } = shown;
  useEffect(() => {
    const surface = new Surface(host.current!, (_, context) => {
      const now = picture.peek();
      if (now) drawTiles(context, tilePicture(now, hovered.peek()));
    });
    const stop = effect(() => {
      void [picture.value, threshold.value, hovered.value, atoms.theme.value];
      surface.invalidate();
    });
    return () => (stop(), surface.dispose());
  }, []);
  const tiles = tableau.blocks.flatMap((block) => block.tiles);
  const roving = hovered.value && tiles.includes(hovered.value) ? hovered.value : tiles[0];
  const key = (event: KeyboardEvent, cell: Cell): void => {
    if (!event.key.startsWith("Arrow")) return;
    // Also where they lead no farther: elsewhere they move the focus.
    event.preventDefault();
    event.stopPropagation();
    const next = neighbour(tableau.blocks, cell, event.key);
    if (!next) return;
    hovered.value = "unit" in next ? next : null;
    host.current!.querySelector<HTMLElement>(`[data-testid="${testId(next)}"]`)?.focus();
  };
  return (
    <>
      <Sides shown={shown} />
      <div class="tableau" ref={host} style={{ width: `${tableau.width}px`, height: `${tableau.height}px` }} role="group" aria-label="Units before, at and after the target" data-testid="tableau"
        onMouseLeave={() => (hovered.value = null)}>
        {tableau.blocks.map((block) => <Layer key={block.block.node} block={block} shown={shown} />)}
        {tableau.blocks.flatMap((block) => block.tiles.map((tile) => (
          <button key={testId(tile)} type="button" class="tile" data-testid={testId(tile)} tabIndex={tile === roving ? 0 : -1} style={{ left: `${tile.x - 3}px`, top: `${tile.y - 1}px`, width: `${SIZES.cell - 4}px`, height: `${SIZES.row - 2}px` }}
            aria-label={`${tile.node}, unit ${tile.unit}: ${signed(tile.credit)}. ${block.column === target ? "Make it the only target" : "Make it the target"}`}
            onMouseEnter={() => (hovered.value = tile)} onFocus={() => (hovered.value = tile)} onKeyDown={(event) => key(event, tile)}
            onClick={(event) => (walkTo({ node: tile.node, units: event.shiftKey ? [...tile.alike].sort((a, b) => a - b) : [tile.unit] }), event.detail === 0 && document.getElementById(TARGET)?.focus())}>
            <small>{tile.unit}</small><b>{signed(tile.credit, 2)}</b>
          </button>
        )))}
        {tableau.blocks.flatMap((block) => block.piles.map((pile) => <PileButton key={testId(pile)} pile={pile} onKeyDown={(event) => key(event, pile)} />))}
        <Tip shown={shown} />
      </div>
    </>
  );
}

const testId = (cell: Cell): string => ("unit" in cell ? `tile-${cell.node}-${cell.unit}` : `pile-${cell.node}-${cell.way}`);

/** Units that share a place: a click makes them the target together. */
function PileButton({ pile, onKeyDown }: { pile: PlacedPile; onKeyDown: (event: KeyboardEvent) => void }) {
  const does = `${formatCount(pile.units.length)} more units of ${pile.node} that ${pile.way === "up" ? "push up" : "pull down"}, together ${signed(pile.sum)}`;
  const most = pile.units.length > atoms.MOST_UNITS ? `the ${formatCount(atoms.MOST_UNITS)} strongest of them` : "them";
  return (
    <button type="button" class="tile" data-testid={testId(pile)} tabIndex={-1} style={{ left: `${pile.x - 3}px`, top: `${pile.y - 1}px`, width: `${SIZES.cell - 4}px`, height: `${SIZES.row - 2}px` }}
      title={`${does}. Click: who did this, of ${most}?`} aria-label={`${does}. Make ${most} the target`} onMouseEnter={() => (hovered.value = null)} onKeyDown={onKeyDown}
      onClick={(event) => (walkTo({ node: pile.node, units: pile.units.slice(0, atoms.MOST_UNITS).sort((a, b) => a - b) }), event.detail === 0 && document.getElementById(TARGET)?.focus())}>
      <small>{pileName(pile)}</small><b>{signed(pile.sum, 2)}</b>
    </button>
  );
}

/** What the columns on each side say. */
function Sides({ shown }: { shown: Picture }) {
  const { tableau, target } = shown;
  const middle = tableau.blocks.find((block) => block.column === target)!;
  const later = tableau.blocks.find((block) => block.column === target + 1);
  return (
    <div class="sides" style={{ width: `${tableau.width}px` }}>
      <span style={{ left: 0, width: `${middle.x - 20}px` }} class="side-before">{target > 0 ? <abbr title={CAUSE_WORDS.credit}>Before: how much of it goes through each unit</abbr> : "Nothing in the network comes before it"}</span>
      <span style={{ left: `${middle.x - 10}px`, width: `${middle.width + 16}px` }} class="side-target">◄ target ►</span>
      {later && <span style={{ left: `${middle.x + middle.width + 24}px` }} class="side-after">
        <abbr title={CAUSE_WORDS.after}>{explained.value === "gradient" ? "After: how much of it goes through each unit" : `After: what its gradient at step ${formatCount(to.value ?? 0)} comes through`}</abbr></span>}
    </div>
  );
}

/** Why there are no columns after the target, though there could be. */
function WithoutLater({ shown: { unsound } }: { shown: Picture }) {
  const { state, message } = onward.value;
  if (explained.value !== "activation") return null;
  if (state === "failed") return <span class="no-later" title={message} data-testid="no-later">what comes after could not be computed</span>;
  if (state === "waiting" || state === "running") return <span class="no-later">what comes after is being computed …</span>;
  return unsound.length ? <span class="no-later" title={`Its gradient is not finite in ${unsound.join(", ")}`} data-testid="no-later">nothing drawn after it: gradients not finite</span> : null;
}

/** A layer's name and what passes through it altogether; beneath its tiles what all other units add up to. */
function Layer({ block: { block, x, y, width, column }, shown }: { block: PlacedBlock; shown: Picture }) {
  const whole = wholeOf(column, shown);
  const kind = hierarchy.value?.nodes.get(block.node)?.role;
  const name = block.node.split(".").slice(-2).join(".");
  return (
    <>
      <div class={column === shown.target ? "layer-head aim" : "layer-head"} style={{ left: `${x - 2}px`, top: `${y}px`, width: `${Math.min(width + SIZES.gap - 6, shown.tableau.width - x)}px` }} data-testid={`column-${block.node}`}>
        <b title={`${block.node}${kind ? `, ${kind}` : ""}, ${formatCount(block.units)} units`}>{name}</b>
        <small>{block.nonfinite ? <span class="bad-mark">{formatCount(block.nonfinite)} not finite</span> : <>{signed(block.sum, 2)}{column !== shown.target && Number.isFinite(whole) && whole !== 0 ? ` · ${percent(block.sum, whole)}` : ""}</>}</small>
      </div>
    </>
  );
}

/** What a column's parts are parts of: the target's change, or its gradient. */
function wholeOf(column: number, shown: Picture): number {
  const reply = credited.value.data;
  if (column <= shown.target || explained.value === "gradient") return reply ? reply.after - reply.before : NaN;
  return shown.later?.units.get(aimed.value)?.reduce((sum, value) => sum + value, 0) ?? NaN;
}

/** The hovered unit in words, its map enlarged. */
function Tip({ shown }: { shown: Picture }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const tile = hovered.value;
  const block = tile && shown.tableau.blocks.find((one) => one.tiles.includes(tile));
  const maps = block ? mapsOf(block, shown) : null;
  const theme = atoms.theme.value;
  useEffect(() => {
    const context = canvas.current?.getContext("2d");
    if (!context || !tile || !maps) return;
    const [, height = 1, width = 1] = maps.shape;
    const own = maps.data.subarray(tile.unit * height * width, (tile.unit + 1) * height * width);
    const scale = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    const image = new ImageData(width, height);
    own.forEach((value, p) => image.data.set([...diverging(theme, share(value, scale)), 255], 4 * p));
    [canvas.current!.width, canvas.current!.height] = [width, height];
    context.putImageData(image, 0, 0);
  }, [tile, maps, theme]);
  if (!tile || !block) return null;
  const whole = wholeOf(block.column, shown);
  const right = tile.x + SIZES.cell + 220 < shown.tableau.width;
  const place = right ? { left: `${tile.x + SIZES.cell + 2}px` } : { right: `${shown.tableau.width - tile.x + 8}px` };
  return (
    <div class="tip cause-tip" style={{ ...place, top: `${Math.max(0, Math.min(tile.y - 8, shown.tableau.height - 232))}px` }} role="presentation">
      <b>{tile.node} · unit {tile.unit}</b>
      <span>credit {signed(tile.credit, 4)}</span>
      {Number.isFinite(whole) && whole !== 0 && <span>{percent(tile.credit, whole)} of the target’s {block.column > shown.target && explained.value !== "gradient" ? "gradient" : "change"}</span>}
      <span>share {signed(tile.share, 2)} of its column</span>
      {tile.alike.length > 1 && <span>its map is like {alikeWords(tile)}</span>}
      {maps && maps.shape[1]! * maps.shape[2]! > 1 && <canvas ref={canvas} class="tip-map" title="Where on its feature map" />}
      <em>Click: {block.column === shown.target ? "this unit alone" : "who did this?"}{tile.alike.length > 1 && <> · Shift+click: of all {formatCount(tile.alike.length)}</>}</em>
    </div>
  );
}
