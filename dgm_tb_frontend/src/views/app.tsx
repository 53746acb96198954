/** The whole tab: bar, loss, network, layer, units – or why there is nothing to see. */

import { useEffect } from "preact/hooks";
import * as atoms from "../state/atoms";
import { run } from "../state/getters";
import { handleKey } from "../state/keys";
import { Bar } from "./bar";
import { Failure } from "./credit/origin";
import { CreditPanel } from "./credit/panel";
import { Empty, emptyReason } from "./empty";
import { GraphPanel } from "./graph";
import { Help } from "./help";
import { LayerPanel } from "./layer";
import { LossPanel } from "./loss";
import { Notices } from "./notices";

export function App() {
  useEffect(() => {
    document.addEventListener("keydown", handleKey);
    return () => document.removeEventListener("keydown", handleKey);
  }, []);
  const reason = emptyReason.value;
  return (
    <div class="app" data-testid="app">
      <Bar />
      <Notices />
      {reason ? <Empty reason={reason} /> : !run.value ? <Skeletons /> : (
        <main class={atoms.chosenNode.value === null ? "panels" : "panels with-cause"}>
          <LossPanel />
          <Failure />
          <div class="split">
            <GraphPanel />
            <LayerPanel />
          </div>
          <CreditPanel />
        </main>
      )}
      {atoms.helpOpen.value && <Help />}
    </div>
  );
}

function Skeletons() {
  return (
    <main class="panels" aria-busy="true" data-testid="skeletons">
      <div class="panel panel-loss"><div class="skeleton" /></div>
      <div class="split">
        <div class="panel panel-graph"><div class="skeleton" /></div>
        <div class="panel panel-layer"><div class="skeleton" /></div>
      </div>
    </main>
  );
}
