/** The list of shortcuts and gestures, as a dialog. */

import { useEffect, useRef } from "preact/hooks";
import { helpOpen } from "../state/atoms";
import { GESTURES, SHORTCUTS } from "../state/keys";

export function Help() {
  const dialog = useRef<HTMLDialogElement>(null);
  useEffect(() => dialog.current?.showModal?.(), []);
  const close = (): void => void (helpOpen.value = false);
  return (
    <dialog ref={dialog} class="help" data-testid="help" aria-labelledby="help-title" onClose={close} onClick={(event) => event.target === dialog.current && close()}>
      <div class="help-body">
        <h2 id="help-title">Keys and gestures</h2>
        <dl>
          {[...SHORTCUTS.map((s) => [s.shown, s.means] as const)].map(([shown, means]) => <div key={shown}><dt><kbd>{shown}</kbd></dt><dd>{means}</dd></div>)}
          {GESTURES.map(([shown, means]) => <div key={shown}><dt>{shown}</dt><dd>{means}</dd></div>)}
        </dl>
        <button type="button" class="button" onClick={close}>Close</button>
      </div>
    </dialog>
  );
}
