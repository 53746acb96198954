/** Small controls that every panel uses: a labelled choice, a switch between a few values, a slider; and how far its chart sums up. */

import type { ComponentChildren } from "preact";
import type { Resolution as Summed } from "../api/types";
import { resolution, WORDS } from "../lib/words";
import { thinned } from "../state/getters";

interface Option<T extends string> {
  readonly value: T;
  readonly label: string;
  readonly title?: string;
}

export function Choice<T extends string>(props: { label: string; name: string; value: T; options: readonly Option<T>[]; title?: string; onChange: (value: T) => void }) {
  return (
    <label class="choice" title={props.title}>
      <span>{props.label}</span>
      <select data-testid={`choice-${props.name}`} value={props.value} onChange={(event) => props.onChange(event.currentTarget.value as T)}>
        {props.options.map((option) => <option key={option.value} value={option.value}>{option.label}</option>)}
      </select>
    </label>
  );
}

export function Segments<T extends string>(props: { label: string; name: string; value: T; options: readonly Option<T>[]; onChange: (value: T) => void }) {
  return (
    <div class="segments" role="group" aria-label={props.label}>
      {props.options.map((option) => (
        <button key={option.value} type="button" aria-pressed={props.value === option.value} title={option.title}
          data-testid={`${props.name}-${option.value}`} onClick={() => props.onChange(option.value)}>{option.label}</button>
      ))}
    </div>
  );
}

interface SliderProps {
  readonly label: string;
  readonly name: string;
  readonly value: number;
  readonly min: number;
  readonly max: number;
  readonly step?: number;
  readonly shown: ComponentChildren;
  readonly onInput: (value: number) => void;
  readonly onSettled?: (value: number) => void;
}

export function Slider(props: SliderProps) {
  return (
    <label class="slider">
      <span>{props.label}</span>
      <input type="range" data-testid={`slider-${props.name}`} min={props.min} max={props.max} step={props.step ?? 1} value={props.value}
        onInput={(event) => props.onInput(Number(event.currentTarget.value))}
        onChange={(event) => props.onSettled?.(Number(event.currentTarget.value))} />
      <output>{props.shown}</output>
    </label>
  );
}

/** What a point of the chart is. */
export function Resolution({ source }: { source: Summed | null }) {
  return source && <span class="resolution" data-testid="resolution" data-level={source.level} title={source.level > 0 ? WORDS.point : undefined}>{resolution(source, thinned.value.length > 0)}</span>;
}
