/** How nodes are called where there is little room: without what all share, and with the number of the call in words. */

/** `discriminator.0#1` is the second call of `discriminator.0` in its program. */
export interface CallName {
  readonly name: string;
  /** 0 for the first call. */
  readonly call: number;
}

export function callOf(name: string): CallName {
  const [, base, call] = /^(.*)#(\d+)$/.exec(name) ?? [null, name, "0"];
  return { name: base!, call: Number(call) };
}

/** 1 is "2nd": calls are counted from zero, people count from one. */
export function ordinal(call: number): string {
  const n = call + 1;
  const tens = n % 100;
  return `${n}${tens >= 11 && tens <= 13 ? "th" : ["th", "st", "nd", "rd"][n % 10] ?? "th"}`;
}

/** The leading groups that all names have in common, dot included; empty where there are fewer than two names. */
export function sharedPrefix(names: readonly string[]): string {
  if (names.length < 2) return "";
  const parts = names.map((name) => name.split("."));
  let shared = 0;
  while (parts.every((part) => shared < part.length - 1 && part[shared] === parts[0]![shared])) shared++;
  return parts[0]!.slice(0, shared).map((part) => `${part}.`).join("");
}
