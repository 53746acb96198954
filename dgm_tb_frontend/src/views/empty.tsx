/** Why there is nothing to see, and the two lines that change it. */

import { computed } from "@preact/signals";
import { useState } from "preact/hooks";
import { copy } from "../lib/host";
import * as atoms from "../state/atoms";
import { run } from "../state/getters";

export type EmptyReason = "server" | "nothing" | "unknown-run" | "no-snapshot";

/** Null while there is something to see, or nothing is known yet. */
export const emptyReason = computed<EmptyReason | null>(() => {
  if (!atoms.connected.value) return atoms.connectionError.value ? "server" : null;
  if (!atoms.runs.value.size) return atoms.unread.value ? null : "nothing";
  const info = run.value;
  if (!info) return "unknown-run";
  return info.snapshots === 0 && info.losses === 0 ? "no-snapshot" : null;
});

const CODE = `from lightning_callbacks import DynamicsMonitor
trainer = Trainer(callbacks=[DynamicsMonitor()])`;

export function Empty({ reason }: { reason: EmptyReason }) {
  return (
    <main class="empty" data-testid="empty" data-reason={reason}>
      <div class="empty-card">{TEXTS[reason]()}</div>
    </main>
  );
}

const TEXTS: Readonly<Record<EmptyReason, () => preact.ComponentChildren>> = {
  server: () => (
    <>
      <h1>TensorBoard does not answer</h1>
      <p>{atoms.connectionError.value}</p>
      <p class="muted">The tab asks again every few seconds and goes on by itself.</p>
    </>
  ),
  nothing: () => (
    <>
      <h1>No DGM data in this log directory</h1>
      <p>TensorBoard serves <code>{atoms.logdir.value || "its log directory"}</code>. No run in it has a <code>plugins/dgm</code> folder: the callback was not
        attached to the trainer, or the training writes elsewhere.</p>
      <p>Add the callback to your Lightning <code>Trainer</code>:</p>
      <Code />
      <p class="muted">This page notices a new run within seconds; no reload is needed.</p>
    </>
  ),
  "unknown-run": () => (
    <>
      <h1>No run called {atoms.chosenRun.value}</h1>
      <p>The address names a run that is not in <code>{atoms.logdir.value}</code>; it was moved or deleted, or the link is from another log directory.
        Choose one of the {atoms.runs.value.size} runs at the top.</p>
    </>
  ),
  "no-snapshot": () => (
    <>
      <h1>Waiting for the first snapshot</h1>
      <p>The run <code>{run.value?.name}</code> is attached, but has recorded nothing yet{run.value?.reason ? ` and ended (${run.value.reason})` : ""}. The first snapshot
        is taken at the first training step; this page shows it as soon as it is written.</p>
      {(run.value?.problems ?? []).map((problem) => <p key={problem} class="muted">{problem}</p>)}
    </>
  ),
};

function Code() {
  const [copied, setCopied] = useState(false);
  return (
    <div class="code">
      <pre data-testid="empty-code">{CODE}</pre>
      <button type="button" class="button" data-testid="copy-code" onClick={() => void copy(CODE).then(() => setCopied(true))}>{copied ? "Copied" : "Copy"}</button>
    </div>
  );
}
