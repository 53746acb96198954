/** What the neuron level says in sentences (pure). */

import type { ChangeKind, Driver, Of, Operand, Origin, Outcome } from "../api/credit";
import { formatCount, formatValue } from "./numbers";

/** A number with its sign, for parts of a sum. */
export const signed = (value: number, digits = 3): string => (value > 0 ? `+${formatValue(value, digits)}` : formatValue(value, digits));

/** A part of the whole in percent, short. */
export function percent(part: number, whole: number): string {
  const ratio = part / whole;
  if (!Number.isFinite(ratio)) return "–";
  const hundred = 100 * ratio;
  if (hundred !== 0 && Math.abs(hundred) < 0.05) return "≈ 0 %";
  return `${Math.abs(hundred) >= 10 || hundred === 0 ? Math.round(hundred) : Number(hundred.toPrecision(1))} %`.replace("-", "−");
}

/** `encoder.conv2`, `unit 3 of encoder.conv2`, `the 12 units 1, 2, 3 … of encoder.conv2`. */
export function targetName(node: string, units: readonly number[], listed = 3): string {
  if (!units.length) return `all units of ${node}`;
  if (units.length === 1) return `unit ${units[0]} of ${node}`;
  const some = units.slice(0, listed).join(", ");
  return `${units.length} units (${some}${units.length > listed ? ", …" : ""}) of ${node}`;
}

/** Units without a tile of their own, as short as a tile is wide. */
export const pileName = ({ units }: { readonly units: readonly number[] }): string => `${formatCount(units.length)} more`;

export const OF: Readonly<Record<Of, string>> = { activation: "mean activation", gradient: "mean gradient", loss: "loss" };

/** How much of the change is accounted for, and whether the path was looked at finely enough. */
export function completenessWords(complete: number, converged: boolean, gap: number, pieces: number): string {
  const rounded = complete >= 0.9999 ? Math.min(100, Number((100 * complete).toFixed(3))) : Number((100 * complete).toFixed(2));
  const share = Number.isFinite(complete) ? `Parts add up to ${rounded} % of it` : "There is no change to be explained";
  return converged ? share : `${share}, not converged: after ${formatCount(pieces)} places on the path ${formatValue(Math.abs(gap), 2)} is still unaccounted for`;
}

const range = ({ low, high }: Pick<Operand, "low" | "high">): string =>
  low === null || high === null ? "no finite value" : low === high ? formatValue(low, 2) : `between ${formatValue(low, 2)} and ${formatValue(high, 2)}`;

/** Where values ceased to be finite, for a step. */
export function originWords(origin: Origin | null, step: number): string {
  if (!origin) return `At step ${formatCount(step)} everything that the loss follows from is finite.`;
  const { op, module, inputs, output, site } = origin;
  const bad = formatCount(output.nonfinite);
  if (!inputs.length) {
    return op === "input"
      ? `The batch itself is not finite: ${bad} values of ${module} at step ${formatCount(step)}.`
      : `The step began with broken weights: ${bad} values of ${module} are not finite. An earlier step broke them.`;
  }
  const given = inputs.map((one) => `${one.made_by || "a value"} ${range(one)}`).join(" and ");
  return `First not finite at step ${formatCount(step)}: ${op} in ${[module, site].filter(Boolean).join(", ") || "the model’s own code"}. Its input was finite (${given}), its output has ${bad} values that are not.`;
}

/** Several names in a row: `1`, `1 and 2`, `1, 2 and 3`. */
const listed = (names: readonly (string | number)[]): string => (names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`);

/** From which elasticity on something reacts more than in proportion. */
const EXPLODES = 1.5;

/** Whose values drove the operation there. */
export function driverWords({ node, units, shares, elasticity, low, high }: Driver): string {
  if (elasticity === null || !units.length) return `The recorded layer nearest before it is ${node}.`;
  const one = units.length === 1;
  const name = one ? `unit ${units[0]} of ${node}` : `units ${listed(units)} of ${node} (${Math.round(100 * (shares[0] ?? 0))} % by unit ${units[0]})`;
  const theirs = elasticity < EXPLODES ? `The output is proportional to ${one ? "it" : "them"}.` : `1 % more of ${one ? "it" : "them"} is ${formatValue(elasticity, 3)} % more of the output.`;
  return `Driven there by ${name}${formatValue(low ?? NaN, 2) === formatValue(high ?? NaN, 2) ? ` at ${formatValue(high ?? NaN, 2)}` : `, which ${one ? "is" : "are"} ${range({ low, high })}`}. ${theirs}`;
}

/** An intervention, in the words in which it was asked. */
export interface Tried {
  readonly change: ChangeKind;
  readonly at: string;
  readonly of: readonly number[];
  readonly low: number;
  readonly high: number;
  readonly step: number;
  readonly previous: number | null;
}

/** What was tried, to begin a sentence with. */
export function triedWords({ change, at, of, low, high, previous }: Tried): string {
  const [units, before] = [targetName(at, of), previous === null ? "before" : `at step ${formatCount(previous)}`];
  switch (change) {
    case "clamp": return `With ${units} kept within [${formatValue(low)}, ${formatValue(high)}]`;
    case "restore-units": return `With ${units} as they were ${before}`;
    case "restore-weights": return `With the weights of ${at || "the whole model"} as they were ${before}`;
    case "restore-samples": return `With ${of.length ? `sample${of.length > 1 ? "s" : ""} ${of.join(", ")}` : "the whole batch"} as in the batch ${before}`;
  }
}

export type Verdict = "confirmed" | "partly" | "refuted" | "worse";

/** From which part of the loss on it is told that it fell or rose. */
const TOLD = 0.05;

/** Whether what was tried bears on the failure: the loss is finite again, it falls, it stays, or it gets worse. */
export function verdict({ loss_before, loss_after, loss_finite_before, loss_finite_after }: Outcome): Verdict {
  if (!loss_finite_before) return loss_finite_after ? "confirmed" : "refuted";
  if (!loss_finite_after || loss_before === null || loss_after === null) return "worse";
  const change = (loss_after - loss_before) / (Math.abs(loss_before) || 1);
  return change < -0.5 ? "confirmed" : change < -TOLD ? "partly" : change > TOLD ? "worse" : "refuted";
}

const far = (loss: number | null, usual: number | undefined): boolean =>
  loss !== null && usual !== undefined && Number.isFinite(usual) && Math.abs(loss) > FAR * Math.abs(usual);

const number = (value: number | null): string => (value === null ? "not finite" : formatValue(value, 4));

/** From how many times the loss of the step before on a loss that is finite again is still called too large. */
const FAR = 10;

/** The whole sentence on a test; `usual` is the loss of the earlier step, where it is known. */
export function outcomeWords(tried: Tried, outcome: Outcome, usual?: number): string {
  const { loss_before, loss_after, loss_finite_before, loss_finite_after } = outcome;
  const step = formatCount(tried.step);
  const start = triedWords(tried);
  if (!loss_finite_before && loss_finite_after) return `${start}, the loss of step ${step} stays finite: ${number(loss_after)} instead of NaN or infinity. This is a cause.${far(loss_after, usual) ? " It is not all of it: the loss is still far above that of the step before." : ""}`;
  if (!loss_finite_before) return `${start}, the loss of step ${step} is still not finite. This alone is not the cause.`;
  if (!loss_finite_after) return `${start}, the loss of step ${step} is not finite any more: it was ${number(loss_before)}.`;
  const kinds: Readonly<Record<Verdict, string>> = {
    confirmed: "This is a cause.", partly: "It is a part of the cause.", refuted: "It hardly matters.", worse: "It makes the loss worse.",
  };
  return `${start}, the loss of step ${step} becomes ${number(loss_after)} instead of ${number(loss_before)}. ${kinds[verdict(outcome)]}`;
}

/** The other units whose maps are like a tile's: the strongest by name. */
export function alikeWords({ unit, alike }: { readonly unit: number; readonly alike: readonly number[] }): string {
  const others = alike.filter((one) => one !== unit);
  const named = others.slice(0, 3).join(", ");
  return others.length <= 3 ? `that of ${others.length > 1 ? "units" : "unit"} ${named}` : `those of units ${named} and ${formatCount(others.length - 3)} more`;
}

export const CAUSE_WORDS = {
  credit: "How much of the target’s change goes through a unit while weights, batch and noise move on a straight line from one step to the other (path integral, layer conductance). What passes through all units of a layer, and what enters between it and the target, adds up to the change.",
  edge: "A line leads from a unit to the layer that it feeds; its width and colour are this unit’s own credit. It does not say which unit of that layer the credit goes on to. Where a layer feeds several, the line is split as these layers’ credit is.",
  share: "Colours are shares: a unit’s credit divided by the largest of its column, from −1 (orange, pulls down) to +1 (blue, pushes up). A feature map shows where on the map, by the largest place of its layer. The number beside it is the credit itself.",
  after: "Which later units the target’s gradient comes through, at the later step.",
  own: "Each step with its own batch: tells how much came from the data and how much from the weights.",
  same: "Both steps on the later step’s batch and noise: the model’s change alone.",
  value: "Where the value comes from: its change as the batch’s inputs come from zero.",
  deep: "A deep snapshot also holds weights, batch and the computation itself, so that credit can be computed and the step be run again.",
  complete: "Weights, batch, noise and whole numbers together miss the change by this rest. On a bent path more places are looked at until it is below a thousandth.",
  patch: "The quarter-sided window of the image whose pixels hold the largest credit.",
  samples: "What each sample of the batch shows of the target’s change, on the left those with the most, on the right those with the least.",
} as const;
