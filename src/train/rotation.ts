// Hadamard rotations that spread outliers over their neighbours before quantising (QuaRot: Ashkboos et al., 2024).
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';

/** Entries that are rotated together: on SmolLM2 16 keep the gradients' direction as well as 64 do, at a quarter of the cost. */
const BLOCK = 16;

/** The largest power of two up to 16 that divides a width; less than 8 is not worth it: 1, no rotation. */
function blockOf(width: number): number {
  let block = BLOCK;
  while (width % block !== 0) block /= 2;
  return block < 8 ? 1 : block;
}

/** x [..., K] times the block-diagonal orthonormal Hadamard matrix, which is its own inverse. */
export function rotate(b: Builder, x: Value): Value {
  const width = x.shape.at(-1) as number;
  const block = blockOf(width);
  if (block === 1) return x;
  const matrix = b.constant(`hadamard.${block}`, 'float32', [block, block], () => hadamard(block));
  const blocks = b.reshape(x, [...x.shape.slice(0, -1), width / block, block]);
  return b.reshape(b.matmul(blocks, matrix), x.shape);
}

/** Sylvester's matrix over the root of its size. */
function hadamard(size: number): Float32Array {
  const matrix = new Float32Array(size * size);
  for (let row = 0; row < size; row++) {
    matrix[row * size + row] = 1;
    transform(matrix, row * size, size);
  }
  return matrix;
}

/** The rows of w [N,K] rotated. */
export function rotateRows(w: Float32Array, width: number): Float32Array {
  const block = blockOf(width);
  const y = w.slice();
  if (block > 1) for (let at = 0; at < y.length; at += block) transform(y, at, block);
  return y;
}

/** The fast Walsh-Hadamard transform of `size` entries from `at` on, over the root of the size. */
function transform(x: Float32Array, at: number, size: number): void {
  for (let half = 1; half < size; half *= 2) {
    for (let i = at; i < at + size; i += 2 * half) {
      for (let j = i; j < i + half; j++) {
        const a = x[j];
        const b = x[j + half];
        x[j] = a + b;
        x[j + half] = a - b;
      }
    }
  }
  const scale = 1 / Math.sqrt(size);
  for (let i = at; i < at + size; i++) x[i] *= scale;
}
