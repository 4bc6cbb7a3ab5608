// The sum of the squares of all entries of several tensors: the norm of a gradient, before its root.
import { require } from '../dims.ts';
import type { OpRecord } from '../op.ts';

/** (x, ...): one number [] */
export const sumOfSquares: OpRecord<'sumOfSquares'> = {
  shape: (inputs) => {
    const fit = inputs.length > 0 && inputs.every(({ dtype }) => dtype === 'float32');
    require(fit, 'sumOfSquares', inputs, 'at least one tensor, all float32');
    return [{ dtype: 'float32', shape: [] }];
  },
  gradient: (g, { inputs }, [dy], needs) => inputs.map((x, i) => (needs[i] ? g.mul(g.scale(x, 2), dy!) : null)),
  onnx: ({ inputs, outputs: [y] }, w) => {
    const sums = inputs.map((x) => {
      const sum = w.temporary();
      w.node('ReduceSumSquare', [x.name], [sum], { keepdims: { int: 0 } });
      return sum;
    });
    w.node('Sum', sums, [y.name]);
  },
  reference: (inputs) => {
    const sums = inputs.map(({ data }) => data.reduce((sum, x) => sum + x * x, 0));
    return [{ shape: [], data: Float64Array.of(sums.reduce((a, b) => a + b, 0)) }];
  },
};
