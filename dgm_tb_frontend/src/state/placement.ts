/** The graph's layout, made in the worker whenever its structure or the open groups change – never on new data. */

import { effect, signal } from "@preact/signals";
import type { Layout, LayoutInput } from "../lib/layout";
import type { LayoutAnswer, LayoutRequest } from "../lib/layout.worker";
import { graph } from "./atoms";
import { open } from "./getters";

/** The newest layout, and why there is none. */
export const placement = signal<{ readonly layout: Layout | null; readonly error: string | null }>({ layout: null, error: null });

/** Starts laying out; the result stops it. */
export function startPlacement(): () => void {
  // One expression, or the bundler would inline the worker as a data: address, which TensorBoard's policy forbids.
  const worker = new Worker(new URL("../lib/layout.worker.ts", import.meta.url), { type: "module", name: "layout" });
  let ticket = 0;
  let asked = "";
  worker.onmessage = ({ data }: MessageEvent<LayoutAnswer>) => {
    if (data.ticket !== ticket) return;
    placement.value = { layout: data.layout ?? placement.peek().layout, error: data.error ?? null };
  };
  worker.onerror = () => void (placement.value = { layout: placement.peek().layout, error: "the layout worker could not be started" });
  const stop = effect(() => {
    const data = graph.value.data;
    if (!data) return void (asked = "");
    const input: LayoutInput = {
      nodes: data.nodes.map((node) => ({ name: node.name, group: node.group, compact: node.quantities.length === 0 })),
      groups: data.groups.filter((group) => group.name !== ""), edges: data.edges, open: [...open.value],
    };
    const key = JSON.stringify(input);
    if (key === asked) return;
    asked = key;
    ticket++;
    worker.postMessage({ ticket, input } satisfies LayoutRequest);
  });
  return () => (stop(), worker.terminate());
}
