// Tensors whose content follows from a shape: broadcasts, zeros, counts.
import { broadcastShapes, require, sameShape } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import { sizeOf } from '../tensor.ts';
import { mapBroadcast, sumTo } from './broadcast.ts';

export const expandLike: OpRecord<'expandLike'> = {
  shape: (inputs) => {
    const [x, like] = inputs;
    const fit = sameShape(broadcastShapes(x.shape, like.shape), like.shape);
    require(inputs.length === 2 && fit, 'expandLike', inputs, 'a shape that broadcasts to the second');
    return [{ dtype: x.dtype, shape: like.shape }];
  },
  gradient: (g, { inputs: [x] }, [dy]) => [sumTo(g, dy!, x), null],
  onnx: ({ inputs: [x, like], outputs: [y] }, w) => {
    const shape = w.temporary();
    w.node('Shape', [like.name], [shape]);
    w.node('Expand', [x.name, shape], [y.name]);
  },
  reference: (inputs) => [mapBroadcast(inputs, (x) => x)],
};

export const zerosLike: OpRecord<'zerosLike'> = {
  shape: (inputs) => {
    require(inputs.length === 1 && inputs[0].dtype === 'float32', 'zerosLike', inputs, 'one float32');
    return [{ dtype: 'float32', shape: inputs[0].shape }];
  },
  gradient: null,
  onnx: ({ inputs: [x], outputs: [y] }, w) => {
    const shape = w.temporary();
    w.node('Shape', [x.name], [shape]);
    w.node('ConstantOfShape', [shape], [y.name]);
  },
  reference: ([x]) => [{ shape: x.shape, data: new Float64Array(sizeOf(x.shape)) }],
};

export const iota: OpRecord<'iota'> = {
  shape: ([x], { axis }) => [{ dtype: 'int64', shape: [x.shape[axis]] }],
  gradient: null,
  onnx: ({ inputs: [x], outputs: [y], attributes: { axis } }, w) => {
    const [shape, size] = [w.temporary(), w.temporary()];
    w.node('Shape', [x.name], [shape]);
    w.node('Gather', [shape, w.int64([axis], [])], [size]);
    w.node('Range', [w.int64([0], []), size, w.int64([1], [])], [y.name]);
  },
  reference: ([x], { axis }) => [
    { shape: [x.shape[axis]], data: Float64Array.from({ length: x.shape[axis] }, (_, i) => i) },
  ],
};
