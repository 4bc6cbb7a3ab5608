// Moving data: transpose, concatenate, split, slice, pad.

import { CupelError } from '../../base/errors.ts';
import { axisOf, fixed, require, sameShape, showShape, timesDims } from '../dims.ts';
import type { Dim, Shape } from '../node.ts';
import type { OpRecord } from '../op.ts';
import { type Doubles, sizeOf, stridesOf } from '../tensor.ts';

export const transpose: OpRecord<'transpose'> = {
  shape: (inputs, { order }) => {
    const [x] = inputs;
    const fit = x.shape.length === order.length && new Set(order).size === order.length;
    require(fit, 'transpose', inputs, `a tensor of rank ${order.length}`);
    return [{ dtype: x.dtype, shape: order.map((axis) => x.shape[axisOf(axis, order.length)]) }];
  },
  gradient: (g, { attributes: { order } }, [dy]) => [
    g.transpose(
      dy!,
      order.map((_, axis) => order.indexOf(axis)),
    ),
  ],
  onnx: ({ inputs, outputs, attributes }, w) =>
    w.node('Transpose', [inputs[0].name], [outputs[0].name], { perm: { ints: attributes.order } }),
  reference: ([x], { order }) => {
    const shape = order.map((axis) => x.shape[axis]);
    const from = stridesOf(x.shape);
    const to = stridesOf(shape);
    const data = new Float64Array(x.data.length);
    for (let i = 0; i < data.length; i++) {
      let at = 0;
      order.forEach((axis, k) => {
        at += (Math.floor(i / to[k]) % shape[k]) * from[axis];
      });
      data[i] = x.data[at];
    }
    return [{ shape, data }];
  },
};

/** Copies a block of `x` between axis positions; both tensors agree on all other axes. */
function copyAlong(axis: number, size: number, x: Doubles, fromStart: number, y: Doubles, toStart: number): void {
  const inner = sizeOf(x.shape.slice(axis + 1));
  const outer = sizeOf(x.shape.slice(0, axis));
  for (let o = 0; o < outer; o++) {
    const from = (o * x.shape[axis] + fromStart) * inner;
    y.data.set(x.data.subarray(from, from + size * inner), (o * y.shape[axis] + toStart) * inner);
  }
}

function withSize<D extends Dim>(shape: readonly D[], axis: number, size: D): D[] {
  return shape.map((dim, i) => (i === axis ? size : dim));
}

function blank(shape: readonly number[]): Doubles {
  return { shape, data: new Float64Array(sizeOf(shape)) };
}

/** Adds sizes; all but one symbol cannot be written as one size. */
function plusDims(dims: readonly Dim[]): Dim {
  const total = dims.reduce((sum: Dim, dim) => {
    if (typeof sum === 'number' && typeof dim === 'number') return sum + dim;
    if (sum === 0 || dim === 0) return sum === 0 ? dim : sum;
    if (sum === dim) return timesDims(2, dim);
    throw new CupelError(`cannot concatenate sizes ${showShape(dims)}: at most numbers`);
  }, 0);
  return total;
}

export const concat: OpRecord<'concat'> = {
  shape: (inputs, { axis }) => {
    const [first] = inputs;
    const at = axisOf(axis, first.shape.length);
    const rest = (shape: Shape) => withSize(shape, at, 0);
    const fit = inputs.every((x) => x.dtype === first.dtype && sameShape(rest(x.shape), rest(first.shape)));
    require(fit, 'concat', inputs, `tensors alike but for axis ${axis}`);
    return [{ dtype: first.dtype, shape: withSize(first.shape, at, plusDims(inputs.map((x) => x.shape[at]))) }];
  },
  gradient: (g, { inputs, attributes: { axis } }, [dy]) =>
    g.split(
      dy!,
      axis,
      inputs.map((x) => fixed(x, axis)),
    ),
  onnx: ({ inputs, outputs, attributes }, w) =>
    w.node(
      'Concat',
      inputs.map((x) => x.name),
      [outputs[0].name],
      { axis: { int: attributes.axis } },
    ),
  reference: (inputs, { axis }) => {
    const at = axisOf(axis, inputs[0].shape.length);
    const size = inputs.reduce((sum, x) => sum + x.shape[at], 0);
    const y = blank(withSize(inputs[0].shape, at, size));
    let start = 0;
    for (const x of inputs) {
      copyAlong(at, x.shape[at], x, 0, y, start);
      start += x.shape[at];
    }
    return [y];
  },
};

export const split: OpRecord<'split'> = {
  shape: (inputs, { axis, sizes }) => {
    const [x] = inputs;
    const total = sizes.reduce((a, b) => a + b, 0);
    require(fixed(x, axis) === total, 'split', inputs, `size ${total} of axis ${axis}`);
    return sizes.map((size) => ({ dtype: x.dtype, shape: withSize(x.shape, axisOf(axis, x.shape.length), size) }));
  },
  gradient: (g, { outputs, attributes: { axis } }, dys) => [
    g.concat(
      outputs.map((output, i) => dys[i] ?? g.zerosLike(output)),
      axis,
    ),
  ],
  onnx: ({ inputs, outputs, attributes: { axis, sizes } }, w) =>
    w.node(
      'Split',
      [inputs[0].name, w.int64(sizes)],
      outputs.map((y) => y.name),
      { axis: { int: axis } },
    ),
  reference: ([x], { axis, sizes }) => {
    const at = axisOf(axis, x.shape.length);
    let start = 0;
    return sizes.map((size) => {
      const y = blank(withSize(x.shape, at, size));
      copyAlong(at, size, x, start, y, 0);
      start += size;
      return y;
    });
  },
};

export const slice: OpRecord<'slice'> = {
  shape: (inputs, { axis, start, size }) => {
    const [x] = inputs;
    const at = axisOf(axis, x.shape.length);
    const dim = x.shape[at];
    const fit = start >= 0 && size > 0 && (typeof dim === 'string' || start + size <= dim);
    require(fit, 'slice', inputs, `axis ${axis} to hold ${start} to ${start + size}`);
    return [{ dtype: x.dtype, shape: withSize(x.shape, at, size) }];
  },
  gradient: (g, { inputs: [x], attributes: { axis, start, size } }, [dy]) => [
    g.pad(dy!, axis, start, fixed(x, axis) - start - size),
  ],
  onnx: ({ inputs, outputs, attributes: { axis, start, size } }, w) =>
    w.node('Slice', [inputs[0].name, w.int64([start]), w.int64([start + size]), w.int64([axis])], [outputs[0].name]),
  reference: ([x], { axis, start, size }) => {
    const at = axisOf(axis, x.shape.length);
    const y = blank(withSize(x.shape, at, size));
    copyAlong(at, size, x, start, y, 0);
    return [y];
  },
};

export const pad: OpRecord<'pad'> = {
  shape: ([x], { axis, before, after }) => {
    const at = axisOf(axis, x.shape.length);
    return [{ dtype: x.dtype, shape: withSize(x.shape, at, fixed(x, axis) + before + after) }];
  },
  gradient: (g, { inputs: [x], attributes: { axis, before } }, [dy]) => [g.slice(dy!, axis, before, fixed(x, axis))],
  onnx: ({ inputs, outputs, attributes: { axis, before, after } }, w) =>
    w.node('Pad', [inputs[0].name, w.int64([before, after]), '', w.int64([axis])], [outputs[0].name]),
  reference: ([x], { axis, before, after }) => {
    const at = axisOf(axis, x.shape.length);
    const y = blank(withSize(x.shape, at, x.shape[at] + before + after));
    copyAlong(at, x.shape[at], x, 0, y, before);
    return [y];
  },
};
