// Frozen weights in 4 bits: blocks of up to 32 inputs share a scale, chosen for the least error.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';

const BLOCK = 32;
const LEAST = -8;
const MOST = 7;
/** The entry of a block that is furthest from zero becomes -8 times the scale, or a little less where that is closer on the whole. */
const TRIED = [-8, -7.5, -7, 7];

export interface Int4Weight {
  readonly q: Value;
  readonly scale: Value;
  /** The same numbers under another name; see ops/int4.ts. */
  readonly gradientScale: Value;
}

/** Constants of `name`, whose matrix is [N,K] (out, in) as in checkpoints. */
export function int4Weight(
  b: Builder,
  name: string,
  [outputs, inputs]: readonly [number, number],
  read: () => Float32Array,
): Int4Weight {
  const block = blockOf(inputs);
  const scales = [outputs, inputs / block];
  const made = quantiseOnce(read, block);
  return {
    q: b.constant(`${name}.q4`, 'int4', [outputs, inputs], () => made().q),
    scale: b.constant(`${name}.scale4`, 'float32', scales, () => made().scale),
    gradientScale: b.constant(`${name}.scale4T`, 'float32', scales, () => made().scale),
  };
}

/** The largest power of two up to 32 that divides a width. */
function blockOf(width: number): number {
  let block = BLOCK;
  while (width % block !== 0) block /= 2;
  return block;
}

export interface Quantised4 {
  q: Int8Array;
  /** One for each block. */
  scale: Float32Array;
}

export function quantise4(w: Float32Array, block: number): Quantised4 {
  const q = new Int8Array(w.length);
  const scale = new Float32Array(w.length / block);
  for (let number = 0; number < scale.length; number++) {
    const values = w.subarray(number * block, (number + 1) * block);
    scale[number] = bestScale(values);
    for (let i = 0; i < block; i++) q[number * block + i] = level(values[i], scale[number]);
  }
  return { q, scale };
}

function bestScale(values: Float32Array): number {
  let furthest = 0;
  for (const value of values) if (Math.abs(value) > Math.abs(furthest)) furthest = value;
  let best = { scale: 1, error: Number.POSITIVE_INFINITY };
  for (const levels of TRIED) {
    const scale = Math.fround(furthest / levels) || 1;
    let error = 0;
    for (const value of values) error += (value - scale * level(value, scale)) ** 2;
    if (error < best.error) best = { scale, error };
  }
  return best.scale;
}

function level(value: number, scale: number): number {
  return Math.min(MOST, Math.max(LEAST, Math.round(value / scale)));
}

/** Three constants are read of each weight, one after the other: quantise once, and let go after the last. */
function quantiseOnce(read: () => Float32Array, block: number): () => Quantised4 {
  let kept: Quantised4 | null = null;
  let reads = 0;
  return () => {
    const made = kept ?? quantise4(read(), block);
    reads = (reads + 1) % 3;
    kept = reads === 0 ? null : made;
    return made;
  };
}
