/** The network's nodes as buttons over its canvas: names and scores for eyes, keys and speech; only those near the panel. */

import { computed } from "@preact/signals";
import { nameHeight, onScreen, SPARK_INSET, TINY } from "../canvas/graph";
import { reveal, type Viewport } from "../canvas/viewport";
import type { GraphNode } from "../api/types";
import { stepAtShare } from "../lib/axis";
import { isGroup, nameOf } from "../lib/hierarchy";
import type { Box } from "../lib/layout";
import { callOf, ordinal } from "../lib/names";
import { formatCount, formatScore } from "../lib/numbers";
import { EXTREME } from "../lib/palette";
import { chooseNode, toggleGroup } from "../state/actions";
import * as atoms from "../state/atoms";
import { axisFor, boxScore, hierarchy, programMark, programOf, programs } from "../state/getters";
import { placement } from "../state/placement";
import { anchor, panel, shown, view } from "../state/stage";

/** Height of a group's name, pixels. */
const HEAD = 22;

/** Whether a group's name is above the panel, but its content is not. */
function scrolledPast(box: Box, at: Viewport): boolean {
  const frame = onScreen(box, at);
  return frame.y < 0 && frame.y + frame.height > 2 * HEAD;
}

/** The groups that one is inside of, whose names are out of sight: a line at the top, outermost first. */
function Crumbs({ boxes }: { boxes: readonly Box[] }) {
  if (!boxes.length) return null;
  return (
    <div class="crumbs" role="group" aria-label="Groups around what is shown">
      {[...boxes].sort((a, b) => a.depth - b.depth || a.x - b.x).map((box, order, all) => {
        const name = nameOf(box.id);
        return (
          <>
            {order > 0 && <span aria-hidden="true">{all[order - 1]!.depth < box.depth ? "›" : "·"}</span>}
            <button key={box.id} type="button" data-testid={`group-${name}`} data-box={box.id} aria-expanded="true" title={`Close ${name} (${hierarchy.value?.groups.get(name)?.module_type ?? ""})`}
              onKeyDown={(event) => alongFlow(event, box.id)} onClick={() => toggle(box.id)}>{shortName(name, hierarchy.value?.groups.get(name)?.parent ?? "")}</button>
          </>
        );
      })}
    </div>
  );
}

const px = (value: number): string => `${Math.round(value * 10) / 10}px`;

/** Cards this far outside the panel are kept, so that panning and tabbing meet them. */
const MARGIN = 200;

export function Cards() {
  const at = view.value;
  if (!at) return null;
  const boxes = near.value;
  return (
    <>
      <div class="cards" role="group" aria-label="Network: arrow keys follow the data flow, Enter opens">
        {boxes.map((box) => (box.open ? <GroupHeader key={box.id} box={box} at={at} /> : <Card key={box.id} box={box} at={at} />))}
      </div>
      <Crumbs boxes={boxes.filter((box) => box.open && scrolledPast(box, at))} />
    </>
  );
}

/** Boxes in and around the panel. */
const near = computed<readonly Box[]>(() => {
    const at = view.value;
    const layout = shown.value?.layout;
    if (!at || !layout) return [];
    const { width, height } = panel.value;
    return layout.boxes.filter((box) => {
      const frame = onScreen(box, at);
      return frame.x < width + MARGIN && frame.y < height + MARGIN && frame.x + frame.width > -MARGIN && frame.y + frame.height > -MARGIN;
    });
});

function GroupHeader({ box, at }: { box: Box; at: Viewport }) {
  const frame = onScreen(box, at);
  const name = nameOf(box.id);
  const group = hierarchy.value?.groups.get(name);
  if (frame.width < 48 || frame.height < 30) return null;
  if (scrolledPast(box, at)) return null;
  return (
    <button type="button" class={box.depth % 2 ? "group-head odd" : "group-head"} data-testid={`group-${name}`} aria-expanded="true" title={`Close ${name}`} style={{ left: px(frame.x + 2), top: px(frame.y + 1), maxWidth: px(frame.width - 4) }}
      data-box={box.id} onKeyDown={(event) => alongFlow(event, box.id)} onClick={() => toggle(box.id)}>
      <span class="chevron" aria-hidden="true">▾</span> <b>{shortName(name, group?.parent ?? "")}</b> {frame.width > 150 && <small>{group?.module_type}</small>}
    </button>
  );
}

function Card({ box, at }: { box: Box; at: Viewport }) {
  const frame = onScreen(box, at);
  const name = nameOf(box.id);
  const group = isGroup(box.id);
  const tree = hierarchy.value;
  const node = group ? undefined : tree?.nodes.get(name);
  const score = boxScore(box.id);
  const type = group ? tree?.groups.get(name)?.module_type : node?.module_type;
  const inside = group ? tree?.members.get(name)?.length ?? 0 : 0;
  const compact = frame.height < 40;
  const small = at.zoom < 0.75;
  const score0 = score?.score ?? NaN;
  const { name: base, call } = node?.kind === "module" ? callOf(name) : { name, call: 0 };
  const short = shortName(base, group ? tree?.groups.get(name)?.parent ?? "" : node?.group ?? "");
  const hot = score0 >= EXTREME && !score?.broke && frame.width > 64;
  const mark = markOf(node, name);
  const label = [call ? `${ordinal(call)} call of ${base}` : name, type, node?.role ? `role: ${node.role}` : "", group ? `group of ${inside} modules, closed` : node?.units ? `${formatCount(node.units)} units` : "",
    Number.isNaN(score0) ? "" : `jump z ${formatScore(score0)}`, score?.nonfinite ? "values not finite" : "", mark ? `program ${mark}` : ""].filter(Boolean).join(", ");
  const hover = (on: boolean): void => void (atoms.hoveredNode.value = on ? (group ? score?.node ?? null : name) : null);
  return (
    <button type="button" data-testid={group ? `group-${name}` : `node-${name}`} data-box={box.id} title={label}
      class={`card kind-${node?.kind ?? "group"}${small ? " small" : ""}${group || score ? "" : " void"}${frame.height < TINY.height || frame.width < TINY.width ? " tiny" : ""}${compact && box.height < 40 ? " pill" : ""}`} aria-expanded={group ? false : undefined} aria-pressed={group ? undefined : atoms.chosenNode.value === name}
      style={{ left: px(frame.x), top: px(frame.y), width: px(frame.width), height: px(frame.height) }}
      onClick={() => (group ? toggle(box.id) : node?.quantities.length ? chooseNode(name) : undefined)}
      onMouseEnter={() => hover(true)} onMouseLeave={() => (hover(false), (atoms.hoveredStep.value = null))} onMouseMove={(event) => hoverStep(event, score !== null)} onFocus={(event) => (hover(true), bringIntoView(event.currentTarget, box))} onBlur={() => hover(false)}
      onKeyDown={(event) => alongFlow(event, box.id)}>
      <span class="card-head" style={{ height: px(nameHeight(at.zoom)) }}>
        {group && <span class="chevron" aria-hidden="true">▸</span>}
        <span class="card-name">{short}{call > 0 && <small> {ordinal(call)}{small ? "" : " call"}</small>}</span>{" "}
        {mark && <span class="program" aria-hidden="true">{mark}</span>}
        {group && frame.width > 90 && <span class="card-count">{inside}</span>}
        {score && score.nonfinite > 0 && <span class="bad-mark">{score.broke && frame.width > 64 ? "✕ NaN" : "✕"}</span>}
        {hot && <span class="card-score" data-testid={`score-${name}`}>z {formatScore(score0)}</span>}
      </span>
    </button>
  );
}

/** Which program's curve a card shows, or for what is not recorded which alone it belongs to; empty where that is no question. */
function markOf(node: GraphNode | undefined, name: string): string {
  if (!node || !programs.value.length) return "";
  const shown = programOf(name);
  if (shown) return programMark(shown);
  return node.programs.length < programs.value.length ? node.programs.map(programMark).join("") : "";
}

/** The snapshot of a card's curve under the pointer is marked in all charts. */
function hoverStep(event: MouseEvent, charted: boolean): void {
  const data = atoms.aggregates.peek().data;
  if (!charted || !data?.step.length) return;
  const box = (event.currentTarget as HTMLElement).getBoundingClientRect();
  const share = (event.clientX - box.left - SPARK_INSET) / Math.max(1, box.width - 2 * SPARK_INSET);
  atoms.hoveredStep.value = stepAtShare(axisFor(data.step, data.focus, data.level), share);
}

/** What the keyboard comes to is moved into the panel; what is clicked stays where it is. */
function bringIntoView(card: HTMLElement, box: Box): void {
  if (view.peek() && card.matches(":focus-visible")) view.value = reveal(view.peek()!, box, panel.peek());
}

function toggle(id: string): void {
  anchor.value = id;
  toggleGroup(nameOf(id));
}

/** The part of a name that its group does not say already. */
const shortName = (name: string, group: string): string => (group && name.startsWith(`${group}.`) ? name.slice(group.length + 1) : name);

/** ↑ and ↓ go to the box before or after along the data flow, ← and → to the one beside. */
function alongFlow(event: KeyboardEvent, id: string): void {
  const layout = placement.peek().layout;
  const boxes = layout?.boxes.filter((box) => !box.open) ?? [];
  const from = layout?.boxes.find((box) => box.id === id);
  if (!from || !["ArrowUp", "ArrowDown", "ArrowLeft", "ArrowRight"].includes(event.key)) return;
  event.preventDefault();
  event.stopPropagation();
  const centre = (box: Box): readonly [number, number] => [box.x + box.width / 2, box.y + Math.min(box.height, 30) / 2];
  const [x, y] = centre(from);
  const vertical = event.key === "ArrowUp" || event.key === "ArrowDown";
  const sign = event.key === "ArrowUp" || event.key === "ArrowLeft" ? -1 : 1;
  const linked = new Set(layout!.links.flatMap((link) => (link.from === id ? [link.to] : link.to === id ? [link.from] : [])));
  const cost = (box: Box): number => {
    const [bx, by] = centre(box);
    const [ahead, aside] = vertical ? [(by - y) * sign, Math.abs(bx - x)] : [(bx - x) * sign, Math.abs(by - y)];
    if (ahead <= 4 || (!vertical && aside > 60)) return Infinity;
    return ahead + 2 * aside - (vertical && linked.has(box.id) ? 1000 : 0);
  };
  const target = boxes.reduce<Box | null>((best, box) => (cost(box) < (best ? cost(best) : Infinity) ? box : best), null);
  if (target) (document.querySelector(`[data-box="${CSS.escape(target.id)}"]`) as HTMLElement | null)?.focus();
}
