/** The module that TensorBoard's frame imports; it calls `render` once. */

import { h, render as mount } from "preact";
import { effect } from "@preact/signals";
import { watchTheme, watchVisibility } from "./lib/host";
import { PALETTES, properties } from "./lib/palette";
import { startHeartbeat } from "./state/heartbeat";
import { startLink } from "./state/link";
import { startCredit } from "./state/evidence";
import { startLoading } from "./state/loading";
import { publishModel } from "./state/model";
import { theme, visible } from "./state/atoms";
import { App } from "./views/app";
import chartSheet from "uplot/dist/uPlot.min.css?inline";
import sheet from "./style.css?inline";
import causeSheet from "./views/credit/credit.css?inline";

export function render(): void {
  const style = document.createElement("style");
  style.textContent = `${chartSheet}\n${sheet}\n${causeSheet}`;
  document.head.append(style);
  document.documentElement.lang = "en";
  document.title = "DGM";
  watchTheme((dark) => void (theme.value = dark ? "dark" : "light"));
  watchVisibility((shown) => void (visible.value = shown));
  effect(() => {
    const root = document.documentElement;
    root.dataset["theme"] = theme.value;
    root.style.colorScheme = theme.value;
    for (const [name, value] of properties(PALETTES[theme.value])) root.style.setProperty(name, value);
  });
  const page = document.createElement("div");
  page.id = "dgm";
  document.body.append(page);
  startLink();
  mount(h(App, null), page);
  startLoading();
  startCredit();
  startHeartbeat();
  publishModel();
}
