/** Units whose feature maps are alike, together (pure). */

export interface Maps {
  /** Units, height, width. */
  readonly shape: readonly number[];
  readonly data: Float32Array;
}

/** Cosine between two maps from which on they are alike: the same places push the same way. */
const ALIKE = 0.8;

/**
 * `units`, the strongest first, in clusters: each joins the one whose first unit's map is most like its own, or begins
 * another (leader clustering, Hartigan 1975). Units without maps, or with maps of a single place, stay alone.
 */
export function clusters(units: readonly number[], maps: Maps | null): readonly (readonly number[])[] {
  const [, height = 1, width = 1] = maps?.shape ?? [];
  const size = height * width;
  if (!maps || size < 2) return units.map((unit) => [unit]);
  const found: { leader: Float32Array; units: number[] }[] = [];
  for (const unit of units) {
    const own = maps.data.subarray(unit * size, (unit + 1) * size);
    const close = found.map(({ leader }) => cosine(own, leader));
    const nearest = close.indexOf(Math.max(...close));
    if (close[nearest]! >= ALIKE) found[nearest]!.units.push(unit);
    else found.push({ leader: own, units: [unit] });
  }
  return found.map((one) => one.units);
}

function cosine(a: Float32Array, b: Float32Array): number {
  let [product, ofA, ofB] = [0, 0, 0];
  for (let k = 0; k < a.length; k++) {
    product += a[k]! * b[k]!;
    ofA += a[k]! * a[k]!;
    ofB += b[k]! * b[k]!;
  }
  return ofA > 0 && ofB > 0 ? product / Math.sqrt(ofA * ofB) : 0;
}
