/** The network's nodes as buttons over its canvas: names and scores for eyes, keys and speech; only those near the panel. */

import { computed } from "@preact/signals";
import { nameHeight, onScreen, TINY } from "../canvas/graph";
import type { Viewport } from "../canvas/viewport";
import { isGroup, nameOf } from "../lib/hierarchy";
import type { Box } from "../lib/layout";
import { formatCount, formatScore } from "../lib/numbers";
import { EXTREME } from "../lib/palette";
import { chooseNode, toggleGroup } from "../state/actions";
import * as atoms from "../state/atoms";
import { boxScore, hierarchy } from "../state/getters";
import { placement } from "../state/placement";
import { anchor, panel, shown, view } from "../state/stage";

/** Height of a group's name, pixels. */
const HEAD = 22;

const px = (value: number): string => `${Math.round(value * 10) / 10}px`;

/** Cards this far outside the panel are kept, so that panning and tabbing meet them. */
const MARGIN = 200;

export function Cards() {
  const at = view.value;
  if (!at) return null;
  return <div class="cards" role="group" aria-label="Network: arrow keys follow the data flow, Enter opens">{near.value.map((box) => (
    box.open ? <GroupHeader key={box.id} box={box} at={at} /> : <Card key={box.id} box={box} at={at} />))}</div>;
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
  // Scrolled past its top, a group's name stays in sight, beneath those of the groups around it.
  if (frame.y < 0 && frame.y + frame.height < HEAD * (box.depth + 1)) return null;
  const top = Math.max(frame.y, Math.min(HEAD * box.depth, frame.y + frame.height - HEAD));
  return (
    <button type="button" class={top > frame.y ? "group-head stuck" : "group-head"} data-testid={`group-${name}`} aria-expanded="true" title={`Close ${name}`} style={{ left: px(frame.x), top: px(top), maxWidth: px(frame.width), zIndex: 9 - box.depth }}
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
  const short = shortName(name, group ? tree?.groups.get(name)?.parent ?? "" : node?.group ?? "");
  const hot = score0 >= EXTREME && !score?.broke && frame.width > 64;
  const label = [name, type, group ? `group of ${inside} modules, closed` : node?.units ? `${formatCount(node.units)} units` : "",
    Number.isNaN(score0) ? "" : `jump z ${formatScore(score0)}`, score?.nonfinite ? "values not finite" : ""].filter(Boolean).join(", ");
  const hover = (on: boolean): void => void (atoms.hoveredNode.value = on ? (group ? score?.node ?? null : name) : null);
  return (
    <button type="button" data-testid={group ? `group-${name}` : `node-${name}`} data-box={box.id} title={label}
      class={`card kind-${node?.kind ?? "group"}${small ? " small" : ""}${group || score ? "" : " void"}${frame.height < TINY.height || frame.width < TINY.width ? " tiny" : ""}${compact && box.height < 40 ? " pill" : ""}`} aria-expanded={group ? false : undefined} aria-pressed={group ? undefined : atoms.chosenNode.value === name}
      style={{ left: px(frame.x), top: px(frame.y), width: px(frame.width), height: px(frame.height) }}
      onClick={() => (group ? toggle(box.id) : node?.quantities.length ? chooseNode(name) : undefined)}
      onMouseEnter={() => hover(true)} onMouseLeave={() => hover(false)} onFocus={() => hover(true)} onBlur={() => hover(false)}
      onKeyDown={(event) => alongFlow(event, box.id)}>
      <span class="card-head" style={{ height: px(nameHeight(at.zoom)) }}>
        {group && <span class="chevron" aria-hidden="true">▸</span>}
        <span class="card-name">{short}</span>{" "}
        {group && frame.width > 90 && <span class="card-count">{inside}</span>}
        {score && score.nonfinite > 0 && <span class="bad-mark">{score.broke && frame.width > 64 ? "✕ NaN" : "✕"}</span>}
        {hot && <span class="card-score" data-testid={`score-${name}`}>z {formatScore(score0)}</span>}
      </span>
    </button>
  );
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
