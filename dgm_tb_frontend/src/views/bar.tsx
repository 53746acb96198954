/** The bar at the top: which run, what is shown of it, whether it is followed, where the focus is, search. */

import { useState } from "preact/hooks";
import { QUANTITIES, STATISTICS } from "../api/types";
import { isGroup, nameOf } from "../lib/hierarchy";
import { formatAge, formatCount } from "../lib/numbers";
import { chooseRun, followLive, moveFocus, pause, revealNode, toggleGroup } from "../state/actions";
import * as atoms from "../state/atoms";
import { age, find, focus, focusIndex, following, hierarchy, open, programMark, programs, run, snapshots, sortedRuns } from "../state/getters";
import { WORDS } from "../lib/words";
import { Choice, Segments } from "./control";
import { emptyReason } from "./empty";

const words = (name: string): string => name.replaceAll("_", " ");
const options = <T extends string>(names: readonly T[]) => names.map((value) => ({ value, label: words(value) }));

export function Bar() {
  // Nothing to choose where there is nothing to see, but another run.
  if (emptyReason.value) return <header class="bar" data-testid="bar">{sortedRuns.value.length > 0 && <RunChoice />}<span class="bar-space" /></header>;
  return (
    <header class="bar" data-testid="bar">
      <h1 class="unseen">Dynamics of {run.value?.name ?? "a training"}</h1>
      <RunChoice />
      <Choice label="Quantity" name="quantity" value={atoms.quantity.value} options={options(QUANTITIES)} onChange={(value) => (atoms.quantity.value = value)} />
      <Choice label="Statistic" name="statistic" value={atoms.statistic.value} options={options(STATISTICS)} onChange={(value) => (atoms.statistic.value = value)} />
      <ProgramChoice />
      <Segments label="Value axis" name="scale" value={atoms.scale.value} onChange={(value) => (atoms.scale.value = value)} options={[
        { value: "symlog", label: "Symlog", title: "Linear for small values, logarithmic for large ones of either sign" },
        { value: "linear", label: "Linear", title: "All values, evenly spaced" },
        { value: "robust", label: "Robust", title: "Linear, the most extreme percent left out" },
      ]} />
      <span class="bar-space" />
      <FocusStep />
      <LiveState />
      <Search />
      <button type="button" class="icon" aria-label="Keyboard shortcuts" title="Keyboard shortcuts (?)" data-testid="help-button" onClick={() => (atoms.helpOpen.value = true)}>?</button>
    </header>
  );
}

function RunChoice() {
  const list = sortedRuns.value;
  const chosen = run.value?.name ?? atoms.chosenRun.value ?? "";
  const known = list.some((info) => info.name === chosen);
  return (
    <label class="choice run-choice">
      <span>Run</span>
      <select data-testid="choice-run" value={chosen} onChange={(event) => chooseRun(event.currentTarget.value)}>
        {!known && <option value={chosen}>{chosen || "…"}</option>}
        {list.map((info) => <option key={info.name} value={info.name}>{info.name === "." ? "(this directory)" : info.name}{info.state === "live" ? " ●" : ""}</option>)}
        {atoms.unread.value > 0 && <option disabled>{formatCount(atoms.unread.value)} more are being read</option>}
      </select>
    </label>
  );
}

/** Networks with several losses (a GAN's two) run modules in several programs; with one there is nothing to choose. */
function ProgramChoice() {
  if (!programs.value.length) return null;
  return <Choice label="Program" name="program" value={atoms.program.value ?? ""} onChange={(value) => (atoms.program.value = value || null)}
    title={WORDS.program}
    options={[{ value: "", label: "each node’s first" }, ...programs.value.map(([value, label]) => ({ value, label: `${programMark(value)} ${label}` }))]} />;
}

function FocusStep() {
  const count = snapshots.value.length;
  const at = focusIndex.value;
  const step = focus.value;
  return (
    <div class="focus" data-testid="focus" role="group" aria-label="Focus">
      <button type="button" class="icon" aria-label="Previous snapshot" title="Previous snapshot (←)" disabled={at <= 0} data-testid="focus-previous" onClick={() => moveFocus(-1)}>‹</button>
      <span class="focus-step" title={count ? `Snapshot ${formatCount(at + 1)} of ${formatCount(count)}` : "No snapshot yet"}>
        <small>{following.value ? "step" : "pinned at"}</small> <b data-testid="focus-step">{step === null ? "–" : formatCount(step)}</b>
      </span>
      <button type="button" class="icon" aria-label="Next snapshot" title="Next snapshot (→)" disabled={at < 0 || at >= count - 1} data-testid="focus-next" onClick={() => moveFocus(1)}>›</button>
    </div>
  );
}

const ENDED = { finished: "Finished", exception: "Ended by an error" } as const;

function LiveState() {
  const info = run.value;
  if (!info) return null;
  const live = info.state === "live";
  const state = following.value ? (live ? "live" : "newest") : "paused";
  const label = live ? "Live" : info.state === "ended" ? ENDED[info.reason as keyof typeof ENDED] ?? "Ended" : "Silent";
  const away = atoms.connectionError.value !== null;
  return (
    <div class="live" data-testid="live" data-state={away ? "away" : state} data-run-state={info.state} aria-live="polite">
      <span class="live-dot" aria-hidden="true" />
      <span class="live-text">
        <b>{away ? "No connection" : label}</b>
        <small data-testid="live-age" title={info.reason ? `The recording ended: ${info.reason}` : live ? "When the run last wrote something" : "Nothing was written for 30 s, and the recording did not end by itself: the training hangs, was killed, or is between epochs"}>{following.value ? "" : live ? "paused, " : ""}{formatAge(age.value)}</small>
      </span>
      <Notes />
      {following.value
        ? live && <button type="button" class="button" data-testid="pause" title="Stay at this snapshot" onClick={pause}>Pause</button>
        : <button type="button" class={live ? "button primary" : "button"} data-testid="go-live" title="Follow the newest snapshot (L)" onClick={followLive}>{live ? "Live" : "Newest"}</button>}
    </div>
  );
}

/** What a person may want to know of the run, and need not act on: thinned stretches, a lengthened interval. */
function Notes() {
  const notes = run.value?.notes ?? [];
  if (!notes.length) return null;
  return (
    <details class="run-notes" data-testid="run-notes">
      <summary aria-label={`${notes.length === 1 ? "A note" : `${notes.length} notes`} on this run`} title={notes.join("\n")}>i</summary>
      <ul>{notes.map((note) => <li key={note}>{note}</li>)}</ul>
    </details>
  );
}

function Search() {
  const [text, setText] = useState("");
  const [at, setAt] = useState(0);
  const hits = find(text).slice(0, 8);
  const choose = (id: string | undefined): void => {
    if (!id) return;
    const members = isGroup(id) ? hierarchy.value?.members.get(nameOf(id)) ?? [] : [nameOf(id)];
    if (isGroup(id) && !open.value.has(nameOf(id))) toggleGroup(nameOf(id));
    if (members[0]) revealNode(members[0]);
    setText("");
  };
  return (
    <div class="search">
      <input type="text" id="search" placeholder="Find a module  /" aria-label="Find a module" data-testid="search" value={text} role="combobox" aria-expanded={hits.length > 0}
        aria-controls="search-hits" autocomplete="off"
        onInput={(event) => (setText(event.currentTarget.value), setAt(0))}
        onBlur={() => setText("")}
        onKeyDown={(event) => {
          if (event.key === "Enter") (choose(hits[at]), event.currentTarget.blur());
          else if (event.key === "Escape") (setText(""), event.currentTarget.blur());
          else if (event.key === "ArrowDown") setAt(Math.min(hits.length - 1, at + 1));
          else if (event.key === "ArrowUp") setAt(Math.max(0, at - 1));
          else return;
          event.preventDefault();
          event.stopPropagation();
        }} />
      {text && (
        <ul id="search-hits" role="listbox" class="search-hits" data-testid="search-hits">
          {hits.map((id, index) => (
            <li key={id} role="option" aria-selected={index === at} onMouseDown={(event) => (event.preventDefault(), choose(id))}>
              <b>{nameOf(id)}</b>
              <small>{isGroup(id) ? `group · ${hierarchy.value?.groups.get(nameOf(id))?.module_type ?? ""}` : hierarchy.value?.nodes.get(nameOf(id))?.module_type}</small>
            </li>
          ))}
          {!hits.length && <li class="none">No module is called “{text}”</li>}
        </ul>
      )}
    </div>
  );
}
