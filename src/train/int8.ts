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

/** Side of the squares in which a matrix is turned: their rows and columns stay in the cache. */
const TILE = 64;
/**
 * 1.5 * 2^23: added to a number below 2^22, float32 has no room for its fraction, and its first bytes are the nearest whole number
 * (of two the even one). Much faster than `Math.round` and the conversion of a float to an Int8Array's element.
 */
const ROUND = 12_582_912;
/** Of arrays that are never 0. */
const LEAST = 1e-12;

/** [N,K] -> q [K,N], scale [N]. */
export function quantiseOutputs(w: Float32Array, outputs: number, inputs: number, levels: Levels): Quantised {
  const q = new Int8Array(w.length);
  const scale = new Float32Array(outputs);
  for (let n = 0; n < outputs; n++) {
    let largest = LEAST;
    for (let i = n * inputs; i < (n + 1) * inputs; i++) {
      const size = Math.abs(w[i]);
      if (size > largest) largest = size;
    }
    scale[n] = largest / levels;
  }
  const rounded = new Float32Array(TILE * TILE);
  const bytes = new Int8Array(rounded.buffer);
  for (let n0 = 0; n0 < outputs; n0 += TILE) {
    const n1 = Math.min(outputs, n0 + TILE);
    for (let k0 = 0; k0 < inputs; k0 += TILE) {
      const k1 = Math.min(inputs, k0 + TILE);
      for (let n = n0; n < n1; n++) {
        const factor = 1 / scale[n];
        const row = (n - n0) * TILE - k0;
        for (let k = k0; k < k1; k++) rounded[row + k] = w[n * inputs + k] * factor + ROUND;
      }
      for (let k = k0; k < k1; k++) {
        for (let n = n0; n < n1; n++) q[k * outputs + n] = bytes[4 * ((n - n0) * TILE + k - k0)];
      }
    }
  }
  return { q, scale };
}

/** [N,K] -> q [N,K], scale [K]. */
export function quantiseInputs(w: Float32Array, outputs: number, inputs: number, levels: Levels): Quantised {
  const q = new Int8Array(w.length);
  const scale = new Float32Array(inputs).fill(LEAST);
  for (let n = 0; n < outputs; n++) {
    for (let k = 0; k < inputs; k++) {
      const size = Math.abs(w[n * inputs + k]);
      if (size > scale[k]) scale[k] = size;
    }
  }
  for (let k = 0; k < inputs; k++) scale[k] /= levels;
  const factors = scale.map((x) => 1 / x);
  const rounded = new Float32Array(inputs);
  const bytes = new Int8Array(rounded.buffer);
  for (let n = 0; n < outputs; n++) {
    for (let k = 0; k < inputs; k++) rounded[k] = w[n * inputs + k] * factors[k] + ROUND;
    for (let k = 0; k < inputs; k++) q[n * inputs + k] = bytes[4 * k];
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
