/** The deep link: the view as `p.dgm.*` keys among TensorBoard's own keys in its page's hash (pure). */

import { QUANTITIES, STATISTICS, type Quantity, type Statistic } from "../api/types";
import type { ScaleName } from "../lib/scale";
import type { Cause, Stop } from "./cause";
import { DEFAULT_LINES, DEFAULT_WINDOW, type Range, WHOLE } from "./atoms";

export interface LinkState {
  readonly run: string | null;
  readonly quantity: Quantity;
  readonly statistic: Statistic;
  readonly scale: ScaleName;
  readonly program: string | null;
  readonly focus: number | null;
  readonly range: Range | null;
  readonly window: number;
  readonly open: ReadonlySet<string> | null;
  readonly node: string | null;
  readonly units: readonly number[];
  readonly lines: number;
  readonly cause: Cause | null;
  /** Targets that were left on the way to the present one. */
  readonly trail: readonly Stop[];
}

export const DEFAULT_LINK: LinkState = {
  run: null, quantity: "activation", statistic: "mean", scale: "symlog", program: null, focus: null, range: null,
  window: DEFAULT_WINDOW, open: null, node: null, units: [], lines: DEFAULT_LINES,
  cause: null, trail: [],
};

const PREFIX = "p.dgm.";
const SCALES: readonly ScaleName[] = ["linear", "symlog", "robust"];

interface Codec<T> {
  readonly write: (value: T) => string | null;
  /** Undefined where the text says nothing usable: the default then stands. */
  readonly read: (text: string) => T | undefined;
}

const oneOf = <T extends string>(allowed: readonly T[]): Codec<T> => ({
  write: (value) => value,
  read: (text) => allowed.find((value) => value === text),
});
const name: Codec<string | null> = { write: (value) => value, read: (text) => text || undefined };
const finite = (text: string): number | undefined => (text !== "" && Number.isFinite(Number(text)) ? Number(text) : undefined);
const within = (low: number, high: number): Codec<number> => ({
  write: String,
  read: (text) => {
    const value = finite(text);
    return value === undefined || value < low || value > high ? undefined : Math.round(value);
  },
});
const integers = (text: string): number[] => text.split(",").map(finite).filter((v): v is number => v !== undefined && v >= 0 && Number.isInteger(v));

/** Characters of the address that the way may take; of a longer one the last stops are kept. */
const LONGEST_WAY = 1000;

const stopText = ({ node, units }: Stop): string => `${encodeURIComponent(node)}:${units.join(",")}`;

const way: Codec<readonly Stop[]> = {
  write: (stops) => {
    let kept: string[] = [];
    for (const stop of [...stops].reverse()) {
      const longer = [stopText(stop), ...kept];
      if (longer.join(";").length > LONGEST_WAY) break;
      kept = longer;
    }
    return kept.length ? kept.join(";") : null;
  },
  read: (text) => text.slice(0, LONGEST_WAY).split(";").flatMap((part) => {
    const [node, units] = part.split(":");
    return node && units !== undefined ? [{ node: decode(node), units: integers(units) }] : [];
  }),
};

const CODECS: { readonly [K in keyof LinkState]: Codec<LinkState[K]> } = {
  run: name,
  quantity: oneOf(QUANTITIES),
  statistic: oneOf(STATISTICS),
  scale: oneOf(SCALES),
  program: name,
  focus: { write: (value) => (value === null ? null : String(value)), read: finite },
  range: {
    write: (value) => (value === WHOLE ? "whole" : value && value.join(",")),
    read: (text) => {
      if (text === "whole") return WHOLE;
      const [from, to] = text.split(",").map(finite);
      return from !== undefined && to !== undefined && from < to ? [from, to] : undefined;
    },
  },
  window: within(1, 1000),
  open: {
    write: (value) => value && [...value].sort().join(","),
    read: (text) => new Set(text.split(",").filter(Boolean)),
  },
  node: name,
  units: { write: (value) => (value.length ? value.join(",") : null), read: integers },
  lines: within(20, 2000),
  cause: {
    // Method, from, to, batch, of what; an empty place stands for what the focus suggests.
    write: (value) => value && [value.method, value.from ?? "", value.to ?? "", value.batch, value.of ?? ""].join(","),
    read: (text) => {
      const [method, from, to, batch, of] = text.split(",");
      const step = (part: string | undefined): number | null => finite(part ?? "") ?? null;
      const what = (["activation", "gradient", "loss"] as const).find((one) => one === of) ?? null;
      return method === "change" || method === "value" ? { method, from: step(from), to: step(to), batch: batch === "same" ? "same" : "own", of: what } : undefined;
    },
  },
  trail: way,
};

const KEYS = Object.keys(CODECS) as (keyof LinkState)[];

const same = (a: string | null, b: string | null): boolean => a === b;

/** The hash (with `#`) with this state's keys in place of earlier ones; keys at their default are left out. */
export function writeHash(hash: string, state: LinkState): string {
  const others = parts(hash).filter((part) => !part.startsWith(PREFIX));
  const own = KEYS.flatMap((key) => {
    const codec = CODECS[key] as Codec<unknown>;
    const text = codec.write(state[key]);
    return text === null || same(text, codec.write(DEFAULT_LINK[key])) ? [] : [`${PREFIX}${key}=${encodeURIComponent(text)}`];
  });
  return `#${[...others, ...own].join("&")}`;
}

/** The state that a hash says; whatever it does not say, or says wrongly, is at its default. */
export function readHash(hash: string): LinkState {
  const texts = new Map(parts(hash).filter((part) => part.startsWith(PREFIX)).map((part) => {
    const at = part.indexOf("=");
    return [part.slice(PREFIX.length, at < 0 ? undefined : at), at < 0 ? "" : decode(part.slice(at + 1))] as const;
  }));
  const read = <K extends keyof LinkState>(key: K): LinkState[K] => {
    const text = texts.get(key);
    const value = text === undefined ? undefined : CODECS[key].read(text);
    return value === undefined ? DEFAULT_LINK[key] : value;
  };
  return Object.fromEntries(KEYS.map((key) => [key, read(key)])) as unknown as LinkState;
}

const parts = (hash: string): string[] => hash.replace(/^#/, "").split("&").filter(Boolean);

function decode(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    return text;
  }
}
