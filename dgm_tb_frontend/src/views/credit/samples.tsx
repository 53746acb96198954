/** The samples of the batch that show most of it beside those that show least; the responsible patch of an image boxed. */

import { useEffect, useRef } from "preact/hooks";
import { drawThumbnail } from "../../canvas/thumbnail";
import { CAUSE_WORDS, percent, signed } from "../../lib/causewords";
import { formatValue } from "../../lib/numbers";
import { PALETTES } from "../../lib/palette";
import { responsible } from "../../lib/patch";
import { largest, share } from "../../lib/share";
import * as atoms from "../../state/atoms";
import { bySample, credited, pictures, ranked } from "../../state/answers";
import { imageInput, inputs } from "../../state/evidence";
import { overlaid } from "../../state/tableau";

export function Samples() {
  const { abnormal, normal } = ranked.value;
  const image = imageInput.value;
  return (
    <section class="cause-card samples" data-testid="credit-samples" aria-label="Samples of the batch">
      <header>
        <h3 title={CAUSE_WORDS.samples}>Samples</h3>
        {image && <label class="check" title="Draw each pixel’s credit over the image"><input type="checkbox" data-testid="overlay" checked={overlaid.value} onChange={(event) => (overlaid.value = event.currentTarget.checked)} />credit of pixels</label>}
      </header>
      {abnormal.length > 0 ? (
        <div class="sample-sides">
          <Side title="show it most" positions={abnormal} kind="abnormal" />
          <Side title="show it least" positions={normal} kind="normal" />
        </div>
      ) : credited.value.data && <p class="muted">The target has no part for each sample.</p>}
      {!image ? <Inputs /> : !credited.value.data ? null : credited.value.data.inputs.size === 0
        ? <p class="muted">Both steps are on the same batch: no pixel has a part in the change.</p>
        : <p class="muted" title={CAUSE_WORDS.patch}>The box is the window, a quarter of the image’s sides, with the largest credit.</p>}
    </section>
  );
}

function Side({ title, positions, kind }: { title: string; positions: readonly number[]; kind: "abnormal" | "normal" }) {
  return (
    <div class={`sample-side ${kind}`} data-testid={`samples-${kind}`}>
      <h4>{title}</h4>
      <ol>{positions.map((position) => <Sample key={position} position={position} />)}</ol>
    </div>
  );
}

function Sample({ position }: { position: number }) {
  const all = bySample.value;
  const value = all[position]!;
  const reply = credited.value.data;
  const change = reply ? reply.after - reply.before : NaN;
  const part = share(value, largest(all));
  return (
    <li data-testid={`sample-${position}`} title={`Sample ${position}: ${signed(value, 4)}, ${percent(value, change)} of the change`}>
      <Thumbnail position={position} />
      <span>#{position}<b class={part < 0 ? "down" : "up"}>{signed(value, 2)}</b></span>
    </li>
  );
}

function Thumbnail({ position }: { position: number }) {
  const canvas = useRef<HTMLCanvasElement>(null);
  const image = imageInput.value;
  const found = pictures.value.data;
  const reply = credited.value.data;
  const [theme, over] = [atoms.theme.value, overlaid.value];
  const row = found ? found.position.indexOf(position) : -1;
  useEffect(() => {
    if (!canvas.current || !image || !found || row < 0) return;
    const { channels, height, width } = image.shape;
    const size = channels * height * width;
    const credit = reply?.inputs.get(image.name) ?? reply?.inputs.get(image.key) ?? null;
    const own = credit && credit.data.length >= (position + 1) * size ? credit.data.subarray(position * size, (position + 1) * size) : null;
    const [low, high] = extent(found.values.data);
    drawThumbnail(canvas.current, {
      values: found.values.data.subarray(row * size, (row + 1) * size), shape: image.shape, low, high, theme, box: PALETTES.dark.heat,
      patch: own && responsible(own, channels, height, width), overlay: over && own ? { credit: own, scale: largest(own) } : null,
    });
  }, [image, found, row, reply, theme, over]);
  return image ? <canvas ref={canvas} class="thumbnail" role="img" aria-label={`Sample ${position}`} data-drawn={row >= 0} /> : null;
}

/** Least and greatest finite value of all samples on show. */
function extent(values: Float32Array): readonly [number, number] {
  let [low, high] = [Infinity, -Infinity];
  for (const value of values) if (Number.isFinite(value)) [low, high] = [Math.min(low, value), Math.max(high, value)];
  return [low, high];
}

/** The entries of a tensor that is no image, by credit summed over the batch. */
const ENTRIES = 8;

function Inputs() {
  const reply = credited.value.data;
  if (!reply) return null;
  return (
    <>
      {[...reply.inputs].map(([name, { shape, data }]) => {
        const batch = shape[0] ?? 1;
        const each = data.length / batch;
        const sums = Float32Array.from({ length: each }, (_, at) => { let sum = 0; for (let b = 0; b < batch; b++) sum += data[b * each + at]!; return sum; });
        const scale = largest(sums);
        const order = Array.from(sums.keys()).sort((a, b) => Math.abs(sums[b]!) - Math.abs(sums[a]!)).slice(0, ENTRIES);
        return (
          <div key={name}>
            <h4>Input {name} <small>{shape.join(" × ")}</small></h4>
            <table class="bars"><tbody>{order.map((at) => (
              <tr key={at}><th scope="row">[{indices(at, shape.slice(1)).join(", ")}]</th><td class="bar-cell" aria-hidden="true"><i class={sums[at]! < 0 ? "down" : "up"} style={{ width: `${50 * Math.abs(share(sums[at]!, scale))}%` }} /></td><td>{signed(sums[at]!)}</td></tr>
            ))}</tbody></table>
          </div>
        );
      })}
      {inputs.value.filter(({ dtype }) => !dtype.startsWith("float") && !dtype.startsWith("bfloat")).map(({ name, dtype, shape }) => (
        <p key={name} class="muted">{name}: {dtype} {formatValue(shape[0] ?? 1)} × …, whole numbers, counted under “labels”</p>
      ))}
    </>
  );
}

/** A place in a flat array by the shape. */
export function indices(at: number, shape: readonly number[]): number[] {
  const out: number[] = [];
  let rest = at;
  for (const size of [...shape].reverse()) (out.unshift(rest % size), (rest = Math.floor(rest / size)));
  return out;
}
