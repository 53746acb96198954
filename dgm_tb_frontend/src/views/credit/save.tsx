/** What the panel shows, as files: all parts as a table, the flow as a picture. */

import { flowImage } from "../../canvas/flowimage";
import type { Credit } from "../../api/credit";
import { completenessWords, OF, signed, targetName } from "../../lib/causewords";
import { creditTable } from "../../lib/credittable";
import { save } from "../../lib/host";
import { formatCount, formatValue } from "../../lib/numbers";
import { completeness } from "../../lib/share";
import { onward } from "../../state/answers";
import { current } from "../../state/asking";
import { explained, target } from "../../state/cause";
import { credit } from "../../state/evidence";
import { run } from "../../state/getters";
import { aimed, picture } from "../../state/tableau";
import { tilePicture } from "./tilepicture";

export function Save() {
  const reply = credit.value;
  if (!reply || !picture.value) return null;
  const later = explained.value === "activation" ? current(onward.value) : null;
  return (
    <span class="save" role="group" aria-label="Save">
      <button type="button" class="button" data-testid="save-csv" title="Save all parts as a table: kind, node, index, credit, and its share of the target’s change (of later units: of its gradient)"
        onClick={() => save(new Blob([creditTable(reply, later, aimed.value)], { type: "text/csv" }), `${fileName(reply)}.csv`)}>CSV</button>
      <button type="button" class="button" data-testid="save-png" title="Save the picture of the flow, at twice its size"
        onClick={() => flowImage(tilePicture(picture.peek()!, null), title(reply)).toBlob((blob) => blob && save(blob, `${fileName(reply)}.png`))}>PNG</button>
    </span>
  );
}

/** What a file system takes: `cause-unclamped-encoder.variance2-1302-1303`. */
const fileName = ({ previous, step }: Credit): string =>
  ["cause", run.peek()?.name, aimed.peek(), previous, step].filter((part) => part !== null && part !== undefined && part !== "").join("-").replace(/[^\w.-]+/g, "_").slice(0, 120);

function title(reply: Credit): string[] {
  const [aim, change] = [target.peek()!, reply.after - reply.before];
  const of = explained.peek() === "loss" ? "loss" : `${OF[explained.peek()]} of ${targetName(aim.node, aim.units)}`;
  const steps = reply.previous === null ? `at step ${formatCount(reply.step)}` : `from step ${formatCount(reply.previous)} to ${formatCount(reply.step)}`;
  return [
    `${run.peek()?.name ?? ""}: ${of}, ${steps}`,
    `${formatValue(reply.before, 4)} → ${formatValue(reply.after, 4)}, change ${signed(change, 3)}. ${completenessWords(completeness(change, reply.gap), reply.converged, reply.gap, reply.nodes)}.`,
  ];
}
