/** The tab's own words, explained once: for tooltips and for the help. */

import { EXTREME } from "./palette";

export const WORDS = {
  jump: `How much a module's units changed from the snapshot before into the focus, against its own earlier changes in the window: a robust z-score. From ${EXTREME} on it is extreme; below 0 it changed less than usual.`,
  unitJump: `How much this unit changed into the focus, against the layer's other units: a robust z-score. From ${EXTREME} on it is extreme.`,
  outlier: "A unit whose whole line in this window is unlike all others, whether or not it jumps at the focus.",
  standsFor: "How many units run so alike that this one line is drawn for all of them.",
  focus: "The snapshot being looked at; all charts mark it with a blue line.",
  window: "How many snapshots before and after the focus the charts show.",
  program: "What one backward pass was called on: a GAN has one for its generator and one for its discriminator.",
  clipped: "Values beyond the axis: it ends a thousand times above the usual size, so that the crowd stays legible, and in nodes at four times what was there up to the focus.",
} as const;
