// Changing shape without moving data.
import { CupelError } from '../../base/errors.ts';
import { require, showShape, timesDims } from '../dims.ts';
import type { Shape } from '../node.ts';
import type { OpRecord } from '../op.ts';

/**
 * ONNX's way to say a target shape that has symbols: 0 copies the size of the same axis, one -1 is what remains.
 * @throws CupelError when two sizes would have to be inferred
 */
export function reshapeVector(from: Shape, to: Shape): number[] {
  const vector = to.map((dim, axis) => (typeof dim === 'number' ? dim : dim === from[axis] ? 0 : -1));
  if (vector.filter((dim) => dim === -1).length > 1)
    throw new CupelError(`cannot reshape ${showShape(from)} to ${showShape(to)}: two unknown sizes`);
  return vector;
}

export const reshape: OpRecord<'reshape'> = {
  shape: (inputs, { shape }) => {
    const [x] = inputs;
    const fit = inputs.length === 1 && timesDims(...x.shape) === timesDims(...shape);
    require(fit, 'reshape', inputs, `as many elements as ${showShape(shape)}`);
    reshapeVector(x.shape, shape);
    return [{ dtype: x.dtype, shape }];
  },
  gradient: (g, { inputs: [x] }, [dy]) => [g.reshape(dy!, x.shape)],
  onnx: ({ inputs: [x], outputs, attributes }, w) =>
    w.node('Reshape', [x.name, w.int64(reshapeVector(x.shape, attributes.shape))], [outputs[0].name]),
  reference: ([x], { shape }, sizes) => [{ shape: sizes(shape), data: x.data }],
};
