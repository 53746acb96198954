/** The way walked back along the blame: each target that was left can be gone back to. */

import { targetName } from "../../lib/causewords";
import { explained, target, trail, walkBack } from "../../state/cause";

/** Where the keyboard goes once a tile has become the target. */
export const TARGET = "credit-target";

const short = (node: string, units: readonly number[]): string => `${node}${units.length === 1 ? ` · ${units[0]}` : units.length ? ` · ${units.length} units` : ""}`;

export function Trail() {
  const aim = target.value;
  if (!aim) return null;
  return (
    <nav class="trail" aria-label="Targets so far" data-testid="trail">
      <ol>
        {trail.value.map((stop, at) => (
          <li key={at}><button type="button" data-testid={`trail-${at}`} title={`Back to ${targetName(stop.node, stop.units)}`} onClick={() => walkBack(at)}>{short(stop.node, stop.units)}</button></li>
        ))}
        <li aria-current="true" id={TARGET} tabIndex={-1} data-testid={TARGET} title={targetName(aim.node, aim.units, 30)}>{explained.value === "loss" ? "the loss" : short(aim.node, aim.units)}</li>
      </ol>
    </nav>
  );
}
