// Softmax over the last axis.

import type { OpRecord } from '../op.ts';
import type { Doubles } from '../tensor.ts';
import { twoAlike } from './activation.ts';
import { sameFloat } from './elementwise.ts';

/** Applies `f` to each row (last axis) of `x`. */
export function mapRows(x: Doubles, f: (row: Float64Array, index: number) => Float64Array): Doubles {
  const width = x.shape.at(-1)!;
  const data = new Float64Array(x.data.length);
  for (let row = 0; row * width < data.length; row++)
    data.set(f(x.data.subarray(row * width, (row + 1) * width), row), row * width);
  return { shape: x.shape, data };
}

/** exp(row - max) / sum. */
export function softmaxRow(row: Float64Array): Float64Array {
  const largest = row.reduce((a, b) => Math.max(a, b), Number.NEGATIVE_INFINITY);
  const powers = row.map((x) => Math.exp(x - largest));
  const sum = powers.reduce((a, b) => a + b, 0);
  return powers.map((x) => x / sum);
}

export const softmax: OpRecord<'softmax'> = {
  shape: sameFloat('softmax'),
  gradient: (g, { outputs: [p] }, [dp]) => g.emit('softmaxGradient', [p, dp!], {}),
  onnx: ({ inputs, outputs }, w) => w.node('Softmax', [inputs[0].name], [outputs[0].name], { axis: { int: -1 } }),
  reference: ([x]) => [mapRows(x, softmaxRow)],
};

/** (p, dp): p * (dp - sum(p * dp)). */
export const softmaxGradient: OpRecord<'softmaxGradient'> = {
  shape: twoAlike('softmaxGradient'),
  gradient: null,
  onnx: ({ inputs: [p, dp], outputs: [dx] }, w) => {
    const [products, sum, centred] = Array.from({ length: 3 }, () => w.temporary());
    w.node('Mul', [p.name, dp.name], [products]);
    w.node('ReduceSum', [products, w.int64([-1])], [sum], { keepdims: { int: 1 } });
    w.node('Sub', [dp.name, sum], [centred]);
    w.node('Mul', [p.name, centred], [dx.name]);
  },
  reference: ([p, dp]) => [
    mapRows(p, (row, i) => {
      const other = dp.data.subarray(i * row.length, (i + 1) * row.length);
      const sum = row.reduce((total, x, k) => total + x * other[k], 0);
      return row.map((x, k) => x * (other[k] - sum));
    }),
  ],
};
