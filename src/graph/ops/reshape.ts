// Changing shape without moving data.
import { CupelError } from '../../base/errors.ts';
import { require, showShape, timesDims } from '../dims.ts';
import type { Shape } from '../node.ts';
import type { OpRecord } from '../op.ts';

/** ONNX's way to say a shape with symbols: 0 copies the size of the same axis, -1 is what remains. */
function toVector(from: Shape, to: Shape): number[] {
  return to.map((dim, axis) => (typeof dim === 'number' ? dim : dim === from[axis] ? 0 : -1));
}

function unknowns(from: Shape, to: Shape): number {
  return toVector(from, to).filter((dim) => dim === -1).length;
}

/** @throws CupelError when two sizes would have to be inferred */
export function reshapeVector(from: Shape, to: Shape): number[] {
  if (unknowns(from, to) <= 1) return toVector(from, to);
  throw new CupelError(`cannot reshape ${showShape(from)} to ${showShape(to)}: two unknown sizes`);
}

export const reshape: OpRecord<'reshape'> = {
  shape: (inputs, { shape }) => {
    const [x] = inputs;
    const fit = inputs.length === 1 && timesDims(...x.shape) === timesDims(...shape);
    require(fit, 'reshape', inputs, `as many elements as ${showShape(shape)}`);
    reshapeVector(x.shape, shape);
    return [{ dtype: x.dtype, shape }];
  },
  gradient: (g, { inputs: [x] }, [dy]) => [
    unknowns(dy!.shape, x.shape) > 1 ? g.emit('reshapeLike', [dy!, x], {})[0] : g.reshape(dy!, x.shape),
  ],
  onnx: ({ inputs: [x], outputs, attributes }, w) =>
    w.node('Reshape', [x.name, w.int64(reshapeVector(x.shape, attributes.shape))], [outputs[0].name]),
  reference: ([x], { shape }, sizes) => [{ shape: sizes(shape), data: x.data }],
};

export const reshapeLike: OpRecord<'reshapeLike'> = {
  shape: (inputs) => {
    const [x, like] = inputs;
    const fit = inputs.length === 2 && timesDims(...x.shape) === timesDims(...like.shape);
    require(fit, 'reshapeLike', inputs, 'two of as many elements');
    return [{ dtype: x.dtype, shape: like.shape }];
  },
  gradient: (g, { inputs: [x] }, [dy]) => [g.emit('reshapeLike', [dy!, x], {})[0], null],
  onnx: ({ inputs: [x, like], outputs: [y] }, w) => {
    const shape = w.temporary();
    w.node('Shape', [like.name], [shape]);
    w.node('Reshape', [x.name, shape], [y.name]);
  },
  reference: ([x, like]) => [{ shape: like.shape, data: x.data }],
};
