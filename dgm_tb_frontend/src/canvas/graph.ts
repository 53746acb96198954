/** Draws the data-flow graph: group frames, edges and the nodes' boxes with their charts. Text is DOM, not drawn here. */

import type { Box, Layout, Link, Point } from "../lib/layout";
import { heatOf, mix, type Palette } from "../lib/palette";
import { FONT } from "./chart";
import { drawSpark, type Frame, type SparkData } from "./spark";
import type { Viewport } from "./viewport";

export interface BoxLook {
  /** What the heat shows: the score, larger than any where values have just ceased to be finite. */
  readonly score: number;
  readonly broke: boolean;
  readonly chosen: boolean;
  readonly hovered: boolean;
  readonly group: boolean;
  readonly spark: SparkData | null;
  /** Why there is no curve, in a few words; null where one is expected or the box is too plain to have one. */
  readonly gap: string | null;
  /** The step under the pointer. */
  readonly hoveredStep: number | null;
}

export interface GraphScene {
  readonly layout: Layout;
  readonly view: Viewport;
  readonly palette: Palette;
  readonly look: (box: Box) => BoxLook;
  /** Edges (indices) that are emphasised. */
  readonly lit: ReadonlySet<number>;
  /** Opacity of the edges: they come in while the boxes move to their places. */
  readonly linkStrength: number;
}

/** Height that a card's name takes, in pixels, however far one has zoomed out. */
export const nameHeight = (zoom: number): number => (zoom < 0.75 ? 15 : 18);
/** Cards smaller than this show their heat, and no text. */
export const TINY = { width: 30, height: 13 };
/** Between a card's side and its chart, pixels. */
export const SPARK_INSET = 5;
/** Charts smaller than this say nothing and are left out. */
const LEAST_SPARK = { width: 40, height: 9 };

export const onScreen = (box: Box, view: Viewport): Frame =>
  ({ x: box.x * view.zoom + view.x, y: box.y * view.zoom + view.y, width: box.width * view.zoom, height: box.height * view.zoom });

export function drawGraph(context: CanvasRenderingContext2D, width: number, height: number, scene: GraphScene): void {
  const { layout, view, palette } = scene;
  const inside = (frame: Frame): boolean => frame.x < width && frame.y < height && frame.x + frame.width > 0 && frame.y + frame.height > 0;
  const framed = layout.boxes.map((box) => ({ box, frame: onScreen(box, view) })).filter(({ frame }) => inside(frame));
  for (const { box, frame } of framed) if (box.open) drawGroup(context, frame, box.depth, palette);
  context.globalAlpha = scene.linkStrength;
  for (const link of layout.links) if (!link.edges.some((edge) => scene.lit.has(edge))) drawLink(context, link, view, palette, false);
  for (const link of layout.links) if (link.edges.some((edge) => scene.lit.has(edge))) drawLink(context, link, view, palette, true);
  context.globalAlpha = 1;
  for (const { box, frame } of framed) if (!box.open) drawCard(context, frame, scene.look(box), palette, view.zoom);
}

function drawGroup(context: CanvasRenderingContext2D, frame: Frame, depth: number, palette: Palette): void {
  rounded(context, frame, 8);
  context.fillStyle = depth % 2 ? palette.surface : palette.group;
  context.fill();
  context.strokeStyle = palette.border;
  context.lineWidth = 1;
  context.stroke();
}

function drawCard(context: CanvasRenderingContext2D, frame: Frame, look: BoxLook, palette: Palette, zoom: number): void {
  const heat = heatOf(look.score);
  const hot = look.broke ? palette.bad : palette.heat;
  if (look.group) {
    for (const offset of [6, 3].map((pixels) => pixels * Math.min(1, zoom))) {
      rounded(context, { ...frame, x: frame.x + offset, y: frame.y + offset }, 6);
      context.fillStyle = palette.surface;
      context.fill();
      context.strokeStyle = palette.border;
      context.stroke();
    }
  }
  rounded(context, frame, 6);
  context.fillStyle = mix(palette.surface, hot, heat * (frame.height < TINY.height ? 0.8 : 0.24));
  context.fill();
  context.lineWidth = look.chosen ? 2.5 : look.hovered ? 1.75 : heat ? 1.75 : 1;
  context.strokeStyle = look.chosen ? palette.accent : heat ? mix(palette.border, hot, 0.35 + 0.65 * heat) : look.hovered ? palette.muted : palette.border;
  // What has nothing to show is drawn as an outline, so that it looks empty on purpose.
  if (look.gap !== null) context.setLineDash([3, 3]);
  context.stroke();
  context.setLineDash([]);
  const head = nameHeight(zoom) + 2;
  const spark = { x: frame.x + SPARK_INSET, y: frame.y + head, width: frame.width - 2 * SPARK_INSET, height: frame.height - head - 4 };
  if (look.spark && spark.width >= LEAST_SPARK.width && spark.height >= LEAST_SPARK.height) {
    drawSpark(context, spark, look.spark, palette, heat > 0, look.hoveredStep);
  } else if (look.gap && spark.width >= 70 && spark.height >= 14) {
    context.font = FONT;
    context.fillStyle = palette.muted;
    context.textAlign = "center";
    context.textBaseline = "middle";
    context.fillText(look.gap, frame.x + frame.width / 2, spark.y + spark.height / 2, spark.width);
  }
}

function drawLink(context: CanvasRenderingContext2D, link: Link, view: Viewport, palette: Palette, lit: boolean): void {
  const points = link.points.map(([x, y]): Point => [x * view.zoom + view.x, y * view.zoom + view.y]);
  const colour = { forward: palette.edge, residual: palette.residual, back: palette.feedback }[link.kind];
  context.strokeStyle = lit && link.kind === "forward" ? palette.accent : colour;
  context.fillStyle = context.strokeStyle;
  context.lineWidth = lit ? 2.25 : link.kind === "forward" ? 1.25 : 1.5;
  context.setLineDash(link.kind === "back" ? [5, 4] : link.kind === "residual" ? [1, 0] : []);
  context.beginPath();
  const tip = link.kind === "back" ? sideArc(context, points) : downward(context, points);
  context.stroke();
  context.setLineDash([]);
  if (link.to !== null) arrow(context, tip, link.kind === "back" ? Math.PI : Math.PI / 2, Math.max(3.5, 5 * Math.min(1, view.zoom * 1.2)));
}

/** A smooth way through the points, vertical at each; returns where it ends. */
function downward(context: CanvasRenderingContext2D, points: readonly Point[]): Point {
  let [x, y] = points[0]!;
  context.moveTo(x, y);
  for (const [nx, ny] of points.slice(1)) {
    const middle = (y + ny) / 2;
    context.bezierCurveTo(x, middle, nx, middle, nx, ny);
    [x, y] = [nx, ny];
  }
  return [x, y];
}

/** Out to the side, along, and back in, with rounded corners; returns where it ends. */
function sideArc(context: CanvasRenderingContext2D, points: readonly Point[]): Point {
  const [[ax, ay], [side], [bx, by]] = points as readonly [Point, Point, Point];
  const radius = Math.min(14, Math.abs(ay - by) / 2, side - Math.max(ax, bx));
  context.moveTo(ax, ay);
  context.arcTo(side, ay, side, by, radius);
  context.arcTo(side, by, bx, by, radius);
  context.lineTo(bx, by);
  return [bx, by];
}

function arrow(context: CanvasRenderingContext2D, [x, y]: Point, angle: number, size: number): void {
  context.save();
  context.translate(x, y);
  context.rotate(angle);
  context.beginPath();
  context.moveTo(0, 0);
  context.lineTo(-size * 1.5, -size * 0.75);
  context.lineTo(-size * 1.5, size * 0.75);
  context.closePath();
  context.fill();
  context.restore();
}

function rounded(context: CanvasRenderingContext2D, frame: Frame, radius: number): void {
  context.beginPath();
  context.roundRect(frame.x, frame.y, frame.width, frame.height, Math.min(radius, frame.height / 3));
}
