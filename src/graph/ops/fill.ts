// Tensors whose content follows from a shape or another tensor unchanged: broadcasts, zeros, counts, order of execution.
import { broadcastShapes, fixed, require, sameShape } from '../dims.ts';
import type { Value } from '../node.ts';
import type { OnnxWriter, OpRecord } from '../op.ts';
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

/** A copy of x that depends on the others: runtimes are free to run a node as soon as its inputs are there. */
export const after: OpRecord<'after'> = {
  shape: (inputs) => {
    require(inputs.every(({ shape }) => shape.length > 0), 'after', inputs, 'no scalars');
    return [{ dtype: inputs[0].dtype, shape: inputs[0].shape }];
  },
  gradient: (_, { inputs }, [dy]) => inputs.map((_other, i) => (i === 0 ? dy : null)),
  onnx: ({ inputs: [x, ...others], outputs: [y] }, w) => {
    if (w.reader === 'openvino') return afterAll(w, x, others, y);
    const rest = x.shape.slice(1).map((_, i) => fixed(x, i + 1));
    const none = others.map((other) => {
      const [empty, fitting] = [w.temporary(), w.temporary()];
      w.node('Slice', [other.name, w.int64([0]), w.int64([0]), w.int64([0])], [empty]);
      w.node('Reshape', [empty, w.int64([0, ...rest])], [fitting], { allowzero: { int: 1 } });
      return fitting;
    });
    w.node('Concat', [x.name, ...none], [y.name], { axis: { int: 0 } });
  },
  reference: ([x]) => [x],
};

/** OpenVINO sees through empty slices, and would then merge what is computed again with what was computed first: zero times a number of each is added. */
function afterAll(w: OnnxWriter, x: Value, others: readonly Value[], y: Value): void {
  let sum = x.name;
  if (others.length === 0) w.node('Identity', [x.name], [y.name]);
  others.forEach((other, i) => {
    const [flat, first, none] = [w.temporary(), w.temporary(), w.temporary()];
    const next = i === others.length - 1 ? y.name : w.temporary();
    w.node('Reshape', [other.name, w.int64([-1])], [flat]);
    w.node('Slice', [flat, w.int64([0]), w.int64([1]), w.int64([0])], [first]);
    w.node('Mul', [first, w.float32([0], [])], [none]);
    w.node('Add', [sum, none], [next]);
    sum = next;
  });
}
