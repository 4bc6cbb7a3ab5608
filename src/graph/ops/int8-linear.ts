// A product with a weight that is trained: computed with its int8 copy, forward and backward; the gradient goes to the weight itself.
import type { Builder } from '../builder.ts';
import { require } from '../dims.ts';
import type { Node, Value } from '../node.ts';
import type { OpRecord } from '../op.ts';
import { movingProduct } from './fixed-levels.ts';
import { int8MatMul, scaledByRow } from './int8.ts';
import { flatten } from './matmul.ts';

/**
 * Three products, each with the scales that suit it: rows of x and outputs of the weight; rows of the gradient, which takes the
 * outputs' scales with it, so that one quantisation of the weight serves both directions; for the gradient of the weight, outputs of
 * the gradient and columns of x. x comes rotated like the quantised weight, and as it is for the weight's gradient. Rounding counts as the identity (Bengio et al., 2013: straight-through).
 */
export const int8Linear: OpRecord<'int8Linear'> = {
  shape: (inputs) => {
    const [turned, x, weight, q, scale] = inputs;
    const fits =
      inputs.length === 5 &&
      String(turned.shape) === String(x.shape) &&
      weight.dtype === 'float32' &&
      q.dtype === 'int8' &&
      String(weight.shape) === String(q.shape) &&
      String(scale.shape) === String([q.shape[0]]) &&
      x.shape.at(-1) === q.shape[1];
    require(fits, 'int8Linear', inputs, 'two of x [...,K], weight [N,K], q [N,K] int8, scale [N]');
    return [{ dtype: 'float32', shape: [...x.shape.slice(0, -1), q.shape[0]] }];
  },
  gradient: (g, { inputs: [, x, , q, scale], attributes: { levels } }, [dy], needs) => [
    needs[0] ? g.int8MatMul(g.mul(dy!, scale), { q, scale: ones(g, q) }, null) : null,
    // the gradient of the same x, once
    null,
    needs[2] ? weightGradient(g, flatten(g, x), flatten(g, dy!), levels) : null,
    null,
    null,
  ],
  onnx: ({ inputs: [x, , , q, scale], outputs }, w) => {
    if (w.reader === 'openvino')
      return scaledByRow(w, x, outputs[0], (scaled, bare) => movingProduct(w, scaled, { q, scale }, bare, true));
    const upright = { ...q, name: w.temporary(), shape: q.shape.toReversed() };
    w.node('Transpose', [q.name], [upright.name], { perm: { ints: [1, 0] } });
    const product = { op: 'int8MatMul', inputs: [x, upright, scale], attributes: { transposed: null }, outputs };
    int8MatMul.onnx(product as Node<'int8MatMul'>, w);
  },
  reference: ([x, , , q, scale], _, sizes) => {
    const [outputs, inputs] = q.shape;
    const data = q.data.map((_value, i) => q.data[(i % outputs) * inputs + Math.floor(i / outputs)]);
    return int8MatMul.reference([x, { shape: [inputs, outputs], data }, scale], { transposed: null }, sizes);
  },
};

/** dy^T x [N,K] of x [T,K] and dy [T,N]. */
function weightGradient(g: Builder, x: Value, dy: Value, levels: number | null): Value {
  return levels === null ? g.matmul(dy, x, { transA: true }) : g.int8Outer(x, dy, levels);
}

function ones(g: Builder, q: Value): Value {
  const size = q.shape[1] as number;
  return g.constant(`ones.${size}`, 'float32', [size], () => new Float32Array(size).fill(1));
}
