/** What the change comes from in the end: weights by module, batch, noise and the rest, as parts of one sum. */

import type { Credit } from "../../api/credit";
import { CAUSE_WORDS, percent, signed } from "../../lib/causewords";
import { byModule, largest, type Part, share } from "../../lib/share";
import { credited } from "../../state/answers";
import { cause } from "../../state/cause";

const MODULES = 10;

interface Line {
  readonly name: string;
  readonly value: number;
  readonly means: string;
}

const total = (arrays: Iterable<Float32Array>): number => [...arrays].reduce((sum, array) => sum + array.reduce((part, value) => part + value, 0), 0);

/** The parts that add up to the change; those that are nothing at all are left out, but for weights and batch. */
export function balance(reply: Credit): Line[] {
  const lines: Line[] = [
    { name: "weights", value: total(reply.parameters.values()), means: "What the changed weights do" },
    { name: "batch", value: total([...reply.inputs.values()].map(({ data }) => data)), means: "What the other batch does" },
    { name: "buffers", value: total(reply.buffers.values()), means: "Running statistics, such as those of a batch norm" },
    { name: "noise", value: reply.noise, means: "Random draws and constants of the step" },
    { name: "labels", value: reply.discrete, means: "Whole numbers of the batch, which cannot move gradually: their step from one to the other" },
    { name: "unaccounted", value: -reply.gap, means: CAUSE_WORDS.complete },
  ];
  const known = (line: Line): boolean => line.name === "unaccounted" ? Math.abs(line.value) > 5e-4 * Math.abs(reply.after - reply.before) : line.value !== 0;
  return lines.filter((line, k) => k < 2 || known(line));
}

export function Balance() {
  const reply = credited.value.data;
  if (!reply) return <section class="cause-card" aria-label="Weights"><h3>Weights and batch</h3></section>;
  const lines = balance(reply);
  const modules = byModule([...reply.parameters, ...reply.buffers]);
  const change = reply.after - reply.before;
  const scale = largest(lines.map((line) => line.value));
  const strongest = largest(modules.map((part) => part.sum));
  return (
    <section class="cause-card" data-testid="credit-parts" aria-label="Weights and batch">
      <h3>What it comes from</h3>
      <table class="bars">
        <tbody>
          {lines.map(({ name, value, means }) => <Bar key={name} name={name} title={means} value={value} of={scale} note={percent(value, change)} id={`part-${name}`} />)}
        </tbody>
      </table>
      {modules.length > 0 && <>
        <h4>Weights by module</h4>
        <table class="bars" data-testid="credit-modules">
          <tbody>{modules.slice(0, MODULES).map((part) => <Bar key={part.name} name={part.name || "the model itself"} title={where(part)} value={part.sum} of={strongest} note={percent(part.sum, change)} id={`module-${part.name}`} />)}</tbody>
        </table>
        {modules.length > MODULES && <p class="muted">and {modules.length - MODULES} more modules</p>}
      </>}
      {cause.value?.method === "value" && <p class="muted">A value is credited to the batch alone: its inputs come from zero, the weights stay.</p>}
    </section>
  );
}

const where = ({ name, strongest }: Part): string =>
  strongest ? `${name}: most in ${strongest.tensor}[${strongest.index}], ${signed(strongest.credit)}` : name;

function Bar({ name, title, value, of, note, id }: { name: string; title: string; value: number; of: number; note: string; id: string }) {
  const part = share(value, of);
  return (
    <tr title={title} data-testid={id}>
      <th scope="row"><bdi>{name}</bdi></th>
      <td class="bar-cell" aria-hidden="true"><i class={part < 0 ? "down" : "up"} style={{ width: `${50 * Math.abs(part)}%` }} /></td>
      <td>{signed(value)}</td>
      <td class="muted">{note}</td>
    </tr>
  );
}
