// Frozen weights in int8: quantised per output channel, once for the forward product and once transposed for the gradient.
import type { Builder } from '../graph/builder.ts';
import type { Int8Weight } from '../graph/op.ts';
import { floats, type Tensor } from '../graph/tensor.ts';
import type { Session } from '../runtime/session.ts';
import { rotateRows } from './rotation.ts';

/** Largest level of a quantised weight: 127, or 63 where the processor's int8 kernel would overflow (see `largestLevel`). */
export type Levels = 127 | 63;

/**
 * Constants for `name`, whose matrix is [N,K] (out, in) as in checkpoints: `forward` is [K,N], rotated, with a scale for each output,
 * `transposed` is [N,K], as it is, with a scale for each input.
 */
export function int8Weight(
  b: Builder,
  name: string,
  [outputs, inputs]: readonly [number, number],
  read: () => Float32Array,
  levels: Levels,
): { forward: Int8Weight; transposed: Int8Weight } {
  return {
    forward: int8Table(b, name, [outputs, inputs], read, levels),
    transposed: constants(b, [`${name}.qT`, `${name}.scaleT`], [outputs, inputs], () =>
      quantiseInputs(read(), outputs, inputs, levels),
    ),
  };
}

interface Quantised {
  q: Int8Array;
  scale: Float32Array;
}

/** [N,K] -> q [K,N], scale [N]. */
export function quantiseOutputs(w: Float32Array, outputs: number, inputs: number, levels: Levels): Quantised {
  const q = new Int8Array(w.length);
  const scale = new Float32Array(outputs);
  for (let n = 0; n < outputs; n++) {
    let largest = 1e-12;
    for (let k = 0; k < inputs; k++) largest = Math.max(largest, Math.abs(w[n * inputs + k]));
    scale[n] = largest / levels;
    for (let k = 0; k < inputs; k++) q[k * outputs + n] = Math.round(w[n * inputs + k] / scale[n]);
  }
  return { q, scale };
}

/** [N,K] -> q [N,K], scale [K]. */
export function quantiseInputs(w: Float32Array, outputs: number, inputs: number, levels: Levels): Quantised {
  const q = new Int8Array(w.length);
  const scale = new Float32Array(inputs).fill(1e-12);
  for (let n = 0; n < outputs; n++) {
    for (let k = 0; k < inputs; k++) scale[k] = Math.max(scale[k], Math.abs(w[n * inputs + k]));
  }
  for (let k = 0; k < inputs; k++) scale[k] /= levels;
  for (let n = 0; n < outputs; n++) {
    for (let k = 0; k < inputs; k++) q[n * inputs + k] = Math.round(w[n * inputs + k] / scale[k]);
  }
  return { q, scale };
}

/** As `forward` of `int8Weight` alone. */
export function int8Table(
  b: Builder,
  name: string,
  [outputs, inputs]: readonly [number, number],
  read: () => Float32Array,
  levels: Levels,
): Int8Weight {
  return constants(b, [`${name}.q`, `${name}.scale`], [inputs, outputs], () =>
    quantiseOutputs(rotateRows(read(), inputs), outputs, inputs, levels),
  );
}

/** q of `shape` and a scale for each of its columns: read one after the other, quantised once, and let go after the second. */
function constants(
  b: Builder,
  [q, scale]: readonly [string, string],
  shape: readonly [number, number],
  make: () => Quantised,
): Int8Weight {
  let kept: Quantised | null = null;
  const made = () => {
    const now = kept ?? make();
    kept = kept ? null : now;
    return now;
  };
  return {
    q: b.constant(q, 'int8', shape, () => made().q),
    scale: b.constant(scale, 'float32', [shape[1]], () => made().scale),
  };
}

const PROBE = { rows: 16, inner: 64, columns: 32 };

/** A product whose pairs of u8 x s8 terms exceed 16 bits: kernels without VNNI (AVX2) saturate there and give wrong sums. */
export function saturationProbe(b: Builder): void {
  const { rows, inner, columns } = PROBE;
  const x = b.input('x', 'float32', [rows, inner]);
  const q = b.constant('q', 'int8', [inner, columns], () => new Int8Array(inner * columns).fill(127));
  const scale = b.constant('scale', 'float32', [columns], () => new Float32Array(columns).fill(1 / 127));
  b.output('y', b.int8MatMul(x, { q, scale }, null));
}

/** Runs the probe in a session of `saturationProbe`: 127 when the sums are right, else 63, which cannot overflow. */
export async function largestLevel(session: Session): Promise<Levels> {
  const { rows, inner } = PROBE;
  const x: Tensor = { dtype: 'float32', shape: [rows, inner], data: new Float32Array(rows * inner).fill(1) };
  const { y } = await session.run({ x });
  return floats(y).every((value) => Math.abs(value - inner) < 0.02 * inner) ? 127 : 63;
}
