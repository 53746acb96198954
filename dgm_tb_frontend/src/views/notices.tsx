/** Sentences that concern the whole tab: the server is away, a run's files have problems. */

import { useState } from "preact/hooks";
import * as atoms from "../state/atoms";
import { run } from "../state/getters";

export function Notices() {
  const [dismissed, setDismissed] = useState("");
  const away = atoms.connectionError.value;
  const problems = run.value?.problems ?? [];
  const problemKey = `${run.value?.name}\n${problems.join("\n")}`;
  return (
    <div class="notices">
      {away && atoms.connected.value && (
        <div class="notice warn" role="status" data-testid="notice-away"><span>{away} What is shown was read before; it is asked again every few seconds.</span></div>
      )}
      {problems.length > 0 && dismissed !== problemKey && (
        <div class="notice warn" role="status" data-testid="notice-problems">
          <span>{problems[0]}{problems.length > 1 && <small title={problems.slice(1).join("\n")}> and {problems.length - 1} more</small>}</span>
          <button type="button" class="icon" aria-label="Dismiss" onClick={() => setDismissed(problemKey)}>×</button>
        </div>
      )}
    </div>
  );
}
