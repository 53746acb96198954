/** The tab's own words, explained once: for tooltips and for the help. */

import { formatCount } from "./numbers";
import { EXTREME } from "./palette";

export const WORDS = {
  jump: `How much a module's units changed from the snapshot before into the focus, against its own earlier changes in the window: a robust z-score. From ${EXTREME} on it is extreme; below 0 it changed less than usual.`,
  unitJump: `How much this unit changed into the focus, against the layer's other units: a robust z-score. It is extreme from ${EXTREME} on, in a wide layer from where chance alone hardly leads one of so many units.`,
  outlier: "A unit whose whole line in this window is unlike all others, whether or not it jumps at the focus.",
  standsFor: "How many units run so alike that this one line is drawn for all of them.",
  focus: "The snapshot being looked at; all charts mark it with a blue line.",
  window: "How many snapshots before and after the focus the charts show.",
  program: "What one backward pass was called on: a GAN has one for its generator and one for its discriminator.",
  clipped: "Values beyond the axis: it ends a thousand times above the usual size, so that the crowd stays legible.",
  nodeAxis: "A node’s axis follows the mean of its units up to the focus, so that one sees the layer move. The band from the least to the greatest unit is cut off, marked by a dashed edge, where single units lie more than three times as far from the mean as those on its other side. Linear and One axis show the whole band.",
  point: "A long range is drawn from points that each sum up many snapshots: the least and the greatest value among them, so that a jump of a single snapshot is still seen. Brush a shorter range to see every snapshot.",
  thinned: "To stay within its share of the disk the run gave up the single snapshots of this stretch. What is drawn of it are the least and greatest values over several snapshots.",
  whole: "Draw all charts over the whole run, also while it grows.",
} as const;

/** What a point of a reply is; of a thinned stretch there may be only points of more snapshots. */
export const resolution = ({ level, each }: { readonly level: number; readonly each: number }, thinned: boolean): string =>
  level > 0 ? `each point: min and max over ${formatCount(each)}${thinned ? " or more" : ""} snapshots` : "every snapshot";
