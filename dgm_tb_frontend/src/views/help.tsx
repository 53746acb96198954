/** The list of shortcuts and gestures, as a dialog. */

import { useEffect, useRef } from "preact/hooks";
import { helpOpen } from "../state/atoms";
import { CAUSE_WORDS } from "../lib/causewords";
import { WORDS } from "../lib/words";
import { GESTURES, SHORTCUTS } from "../state/keys";

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal?.(), []);
  const close = (): void => void (helpOpen.value = false);
  return (
    <dialog ref={dialog} class="help" data-testid="help" aria-labelledby="help-title" onClose={close} onClick={(event) => event.target === dialog.current && close()}>
      <div class="help-body">
        <header><h2 id="help-title">Keys and gestures</h2><button type="button" class="icon" aria-label="Close" title="Close (Esc)" onClick={close}>×</button></header>
        <dl>
          {[...SHORTCUTS.map((s) => [s.shown, s.means] as const)].map(([shown, means]) => <div key={shown}><dt><kbd>{shown}</kbd></dt><dd>{means}</dd></div>)}
          {GESTURES.map(([shown, means]) => <div key={shown}><dt>{shown}</dt><dd>{means}</dd></div>)}
        </dl>
        <h2>Words</h2>
        <dl>
          {([["focus", WORDS.focus], ["window", WORDS.window], ["jump z of a module", WORDS.jump], ["jump z of a unit", WORDS.unitJump], ["outlier", WORDS.outlier],
            ["units of a line", WORDS.standsFor], ["program", WORDS.program], ["▲ ▼ in a chart", WORDS.clipped],
            ["axis of a node", WORDS.nodeAxis], ["points of a long range", WORDS.point], ["hatched stretch", WORDS.thinned], ["deep snapshot ◆", CAUSE_WORDS.deep], ["credit", CAUSE_WORDS.credit],
            ["share, colours of tiles", CAUSE_WORDS.share], ["lines between tiles", CAUSE_WORDS.edge], ["layers after the target", CAUSE_WORDS.after], ["unaccounted", CAUSE_WORDS.complete],
            ["box on a sample", CAUSE_WORDS.patch]] as const).map(([word, means]) => <div key={word}><dt>{word}</dt><dd>{means}</dd></div>)}
        </dl>
      </div>
    </dialog>
  );
}
