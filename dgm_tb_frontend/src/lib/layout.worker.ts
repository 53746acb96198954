/** Lays the graph out off the main thread and keeps every group's layout. */

import { layout, LayoutCache, type Layout, type LayoutInput } from "./layout";

export interface LayoutRequest {
  readonly ticket: number;
  readonly input: LayoutInput;
}

export interface LayoutAnswer {
  readonly ticket: number;
  readonly layout?: Layout;
  readonly error?: string;
}

const cache = new LayoutCache();
const scope = self as unknown as { onmessage: (event: MessageEvent<LayoutRequest>) => void; postMessage: (answer: LayoutAnswer) => void };

scope.onmessage = ({ data }) => {
  try {
    scope.postMessage({ ticket: data.ticket, layout: layout(data.input, cache) });
  } catch (error) {
    scope.postMessage({ ticket: data.ticket, error: String(error) });
  }
};
