import { render } from "preact";
import { beforeEach, expect, it } from "vitest";
import type { RunInfo } from "../api/types";
import * as atoms from "../state/atoms";
import { Empty, emptyReason } from "./empty";

const info: RunInfo = { name: "a", state: "live", snapshots: 0, first_step: null, last_step: null, generation: 1, started: 0, last_wall_time: 0, losses: 0, graph: null, reason: null, problems: ["A sentence."], notes: [], thinned: [] };

beforeEach(() => {
  atoms.connected.value = true;
  atoms.connectionError.value = null;
  atoms.chosenRun.value = null;
  atoms.logdir.value = "/logs";
  atoms.runs.value = new Map();
  atoms.unread.value = 0;
});

function page(): HTMLElement {
  const root = document.createElement("div");
  render(<Empty reason={emptyReason.value!} />, root);
  return root;
}

it("names the log directory and the two lines of code when there is no data", () => {
  expect(emptyReason.value).toBe("nothing");
  expect(page().textContent).toContain("/logs");
  expect(page().querySelector("[data-testid=empty-code]")?.textContent?.split("\n")).toHaveLength(2);
});

it("waits while the server has found runs and not read one", () => {
  atoms.unread.value = 3;
  expect(emptyReason.value).toBeNull();
});

it("waits for the first snapshot of a run, and says what is wrong with it", () => {
  atoms.runs.value = new Map([["a", info]]);
  expect(emptyReason.value).toBe("no-snapshot");
  expect(page().textContent).toContain("A sentence.");
});

it("says so when the address names a run that is not there", () => {
  atoms.runs.value = new Map([["a", { ...info, snapshots: 3 }]]);
  expect(emptyReason.value).toBeNull();
  atoms.chosenRun.value = "b";
  expect(emptyReason.value).toBe("unknown-run");
  expect(page().textContent).toContain("No run called b");
});

it("keeps what is on show when the server goes away later", () => {
  atoms.runs.value = new Map([["a", { ...info, snapshots: 3 }]]);
  atoms.connectionError.value = "away";
  expect(emptyReason.value).toBeNull();
  atoms.connected.value = false;
  expect(emptyReason.value).toBe("server");
});
