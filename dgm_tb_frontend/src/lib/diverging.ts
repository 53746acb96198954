/** The colours of shares: −1 orange, 0 the ground, +1 blue; told apart also by those who see no red or green. */

export type Rgb = readonly [red: number, green: number, blue: number];

// Okabe–Ito's vermillion and blue; in the middle what lies beneath, so that nothing stands out that has no part.
const ENDS: { readonly light: readonly [Rgb, Rgb, Rgb]; readonly dark: readonly [Rgb, Rgb, Rgb] } = {
  light: [[196, 82, 0], [241, 243, 246], [0, 103, 168]],
  dark: [[255, 140, 66], [40, 46, 56], [98, 182, 234]],
};

/** The colour of a share, clamped to [−1, 1]. */
export function diverging(theme: "light" | "dark", share: number): Rgb {
  const [low, middle, high] = ENDS[theme];
  const end = share < 0 ? low : high;
  const at = Math.min(1, Math.abs(share));
  return [0, 1, 2].map((c) => Math.round(middle[c]! + (end[c]! - middle[c]!) * at)) as unknown as Rgb;
}

export const css = ([red, green, blue]: Rgb): string => `rgb(${red} ${green} ${blue})`;
