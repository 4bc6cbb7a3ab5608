// Root-mean-square normalisation and its gradient.
import { require } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import type { Doubles } from '../tensor.ts';
import { sumTo } from './broadcast.ts';

/** y = x * inv * weight with inv = 1 / sqrt(mean(x^2) + epsilon) over the last axis; outputs y and inv [...,1]. */
export const rmsNorm: OpRecord<'rmsNorm'> = {
  shape: (inputs) => {
    const [x, weight] = inputs;
    const fit = inputs.length === 2 && x.dtype === 'float32' && weight.shape.length === 1;
    require(fit && x.shape.at(-1) === weight.shape[0], 'rmsNorm', inputs, 'x [...,D] and weight [D]');
    return [
      { dtype: 'float32', shape: x.shape },
      { dtype: 'float32', shape: [...x.shape.slice(0, -1), 1] },
    ];
  },
  gradient: (g, { inputs: [x, weight], outputs: [, inv], attributes }, [dy], needs) => [
    needs[0] ? g.emit('rmsNormGradient', [x, weight, inv, dy!], attributes)[0] : null,
    needs[1] ? sumTo(g, g.mul(dy!, g.mul(x, inv)), weight) : null,
  ],
  onnx: ({ inputs: [x, weight], outputs: [y, inv], attributes: { epsilon } }, w) =>
    w.node('SimplifiedLayerNormalization', [x.name, weight.name], [y.name, inv.name], {
      axis: { int: -1 },
      epsilon: { float: epsilon },
      stash_type: { int: 1 },
    }),
  reference: ([x, weight], { epsilon }) => {
    const width = x.shape.at(-1)!;
    const inv = Float64Array.from({ length: x.data.length / width }, (_, row) => {
      const squares = x.data.subarray(row * width, (row + 1) * width).reduce((sum, v) => sum + v * v, 0);
      return 1 / Math.sqrt(squares / width + epsilon);
    });
    const data = x.data.map((v, i) => v * inv[Math.floor(i / width)] * weight.data[i % width]);
    return [
      { shape: x.shape, data },
      { shape: [...x.shape.slice(0, -1), 1], data: inv },
    ];
  },
};

/** (x, weight, inv, dy): inv * (g - x * inv^2 * mean(g * x)) with g = dy * weight. */
export const rmsNormGradient: OpRecord<'rmsNormGradient'> = {
  shape: ([x]) => [{ dtype: 'float32', shape: x.shape }],
  gradient: null,
  onnx: ({ inputs: [x, weight, inv, dy], outputs: [dx] }, w) => {
    const [g, gx, mean, a, b, c, left, right] = Array.from({ length: 8 }, () => w.temporary());
    w.node('Mul', [dy.name, weight.name], [g]);
    w.node('Mul', [g, x.name], [gx]);
    w.node('ReduceMean', [gx, w.int64([-1])], [mean], { keepdims: { int: 1 } });
    // the factors of a whole row first: they are one number each
    w.node('Mul', [inv.name, inv.name], [a]);
    w.node('Mul', [a, inv.name], [b]);
    w.node('Mul', [b, mean], [c]);
    w.node('Mul', [g, inv.name], [left]);
    w.node('Mul', [x.name, c], [right]);
    w.node('Sub', [left, right], [dx.name]);
  },
  reference: ([x, weight, inv, dy]) => [normGradient(x, weight, inv, dy)],
};

function normGradient(x: Doubles, weight: Doubles, inv: Doubles, dy: Doubles): Doubles {
  const width = weight.data.length;
  const g = dy.data.map((value, i) => value * weight.data[i % width]);
  const data = new Float64Array(x.data.length);
  inv.data.forEach((scale, row) => {
    let dot = 0;
    for (let i = row * width; i < (row + 1) * width; i++) dot += g[i] * x.data[i];
    for (let i = row * width; i < (row + 1) * width; i++)
      data[i] = scale * (g[i] - x.data[i] * scale * scale * (dot / width));
  });
  return { shape: x.shape, data };
}
