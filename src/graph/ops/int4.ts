// Products with 4-bit weights: a matrix is made float32 in each pass that uses it (QLoRA: Dettmers et al., 2023).
import { require } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import type { Doubles } from '../tensor.ts';
import { multiply } from './matmul.ts';

/**
 * The gradient of x multiplies with the same matrix, so it is exact for the weights that are held. It has scales of its own, equal
 * ones: from the same inputs ONNX Runtime would make one float32 matrix for both passes, and keep it in between.
 */
export const int4MatMul: OpRecord<'int4MatMul'> = {
  shape: (inputs, { transposed }) => {
    const [x, q, scale] = inputs;
    const types = inputs.length === 3 && x.dtype === 'float32' && q.dtype === 'int4' && scale.dtype === 'float32';
    const inner = transposed ? 0 : 1;
    const sizes =
      types &&
      q.shape.length === 2 &&
      x.shape.at(-1) === q.shape[inner] &&
      scale.shape[0] === q.shape[0] &&
      Number(q.shape[1]) % Number(scale.shape[1]) === 0;
    require(sizes, 'int4MatMul', inputs, 'x [...,K] (or [...,N] where transposed), q [N,K] int4, scale [N,K/block]');
    return [{ dtype: 'float32', shape: [...x.shape.slice(0, -1), q.shape[1 - inner]] }];
  },
  gradient: (g, { inputs: [, q], attributes: { transposed, gradientScale } }, [dy]) => [
    gradientScale && !transposed
      ? g.emit('int4MatMul', [dy!, q, gradientScale], { transposed: true, gradientScale: null })[0]
      : null,
    null,
    null,
  ],
  onnx: ({ inputs: [x, q, scale], outputs: [y], attributes: { transposed } }, w) => {
    const matrix = w.temporary();
    const block = Number(q.shape[1]) / Number(scale.shape[1]);
    w.node('DequantizeLinear', [q.name, scale.name], [matrix], { axis: { int: 1 }, block_size: { int: block } });
    const attributes = { transA: { int: 0 }, transB: { int: Number(!transposed) }, alpha: { float: 1 } };
    w.node('FusedMatMul', [x.name, matrix], [y.name], attributes, 'com.microsoft');
  },
  reference: ([x, q, scale], { transposed }) => {
    const block = q.shape[1] / scale.shape[1];
    const weight: Doubles = {
      shape: q.shape,
      data: q.data.map((value, i) => value * scale.data[Math.floor(i / block)]),
    };
    return [multiply(x, weight, { transA: false, transB: !transposed, alpha: 1 })];
  },
};
