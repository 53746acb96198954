/** The frame of a panel: title, tools, what is being loaded, what went wrong and how to try again. */

import type { ComponentChildren } from "preact";
import type { Signal } from "@preact/signals";
import { type Resource, retry } from "../state/resource";

interface PanelProps {
  readonly name: string;
  readonly title: string;
  readonly subtitle?: ComponentChildren;
  readonly tools?: ComponentChildren;
  readonly source?: Signal<Resource<unknown>>;
  readonly children: ComponentChildren;
}

export function Panel({ name, title, subtitle, tools, source, children }: PanelProps) {
  const resource = source?.value;
  const waiting = resource?.loading && !resource.data;
  return (
    <section class={`panel panel-${name}`} data-testid={`panel-${name}`} aria-label={title} aria-busy={Boolean(resource?.loading)}>
      <header class="panel-head">
        <h2>{title}</h2>
        <div class="panel-subtitle">{subtitle}</div>
        <div class="panel-tools">{tools}</div>
        {resource?.loading && <div class="panel-progress" role="presentation" />}
      </header>
      <div class="panel-body">
        {children}
        {waiting && <div class="skeleton" data-testid={`skeleton-${name}`} aria-hidden="true" />}
        {resource?.error && (
          <div class={resource.data ? "panel-error over" : "panel-error"} role="alert" data-testid={`error-${name}`}>
            <span>{resource.data ? "Not up to date: " : ""}{resource.error}</span>
            <button type="button" class="button" onClick={() => source && retry(source)}>Try again</button>
          </div>
        )}
      </div>
    </section>
  );
}
