/** Few enough of very many values to be sorted at once. */

/**
 * The finite ones of the values from position `first` to `last`: all where these are `most` at most, else every so many –
 * and always the least, the greatest and the least positive one, at which axes end.
 */
export function sampled(values: ArrayLike<number>, most: number, first = 0, last = values.length - 1): number[] {
  const every = Math.max(1, Math.ceil((last - first + 1) / most));
  const out: number[] = [];
  let [least, greatest, positive] = [Infinity, -Infinity, Infinity];
  for (let i = first; i <= last; i++) {
    const value = values[i]!;
    if (!Number.isFinite(value)) continue;
    if (value < least) least = value;
    if (value > greatest) greatest = value;
    if (value > 0 && value < positive) positive = value;
    if ((i - first) % every === 0) out.push(value);
  }
  if (every > 1) out.push(...[least, greatest, positive].filter(Number.isFinite));
  return out;
}
