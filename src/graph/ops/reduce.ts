// Sums, means and maxima over axes.

import { CupelError } from '../../base/errors.ts';
import type { Builder } from '../builder.ts';
import { axisOf, require } from '../dims.ts';
import type { Shape, Value } from '../node.ts';
import type { GradientRule, OpAttributes, OpRecord } from '../op.ts';
import { type Doubles, sizeOf, stridesOf } from '../tensor.ts';
import { tailEnd } from './tail.ts';

type Reduction = 'reduceSum' | 'reduceMean' | 'reduceMax';
type Attributes = OpAttributes[Reduction];

function keptShape<D extends number | string>(shape: readonly D[], { axes, keep }: Attributes): (D | 1)[] {
  const reduced = new Set(axes.map((axis) => axisOf(axis, shape.length)));
  return shape.flatMap((dim, i): (D | 1)[] => (reduced.has(i) ? (keep ? [1 as const] : []) : [dim]));
}

function reduction<K extends Reduction>(
  op: K,
  type: string,
  start: number,
  f: (a: number, b: number) => number,
  gradient: GradientRule<K> | null,
): OpRecord<K> {
  return {
    shape: (inputs, attributes) => {
      require(inputs.length === 1 && inputs[0].dtype === 'float32', op, inputs, 'one float32');
      return [{ dtype: 'float32', shape: keptShape(inputs[0].shape, attributes) }];
    },
    gradient,
    onnx: ({ inputs: [x], outputs: [y], attributes: { axes, keep } }, w) => {
      const keepdims = { keepdims: { int: Number(keep) } };
      // the gradient of a vector: scales of a norm, a bias
      if (w.reader !== 'openvino' || y.shape.length !== 1 || x.shape.length === 1)
        return w.node(type, [x.name, w.int64(axes)], [y.name], keepdims);
      const sum = w.temporary();
      w.node(type, [x.name, w.int64(axes)], [sum], keepdims);
      w.node('Identity', [tailEnd(w, sum, y.shape[0])], [y.name]);
    },
    reference: ([x], attributes) => [reduce(x, attributes, start, f)],
  };
}

function reduce(x: Doubles, attributes: Attributes, start: number, f: (a: number, b: number) => number): Doubles {
  const wide = keptShape(x.shape, { ...attributes, keep: true });
  const from = stridesOf(x.shape);
  const to = stridesOf(wide).map((stride, axis) => (wide[axis] === 1 ? 0 : stride));
  const data = new Float64Array(sizeOf(wide)).fill(start);
  for (let i = 0; i < x.data.length; i++) {
    let at = 0;
    for (let axis = 0; axis < from.length; axis++) at += (Math.floor(i / from[axis]) % x.shape[axis]) * to[axis];
    data[at] = f(data[at], x.data[i]);
  }
  return { shape: keptShape(x.shape, attributes), data };
}

/** The gradient spread back over the reduced axes. */
function spread(g: Builder, dy: Value, x: Value, attributes: Attributes): Value {
  const wide = attributes.keep ? dy : g.reshape(dy, keptShape(x.shape, { ...attributes, keep: true }));
  return g.expandLike(wide, x);
}

function countOf(shape: Shape, axes: readonly number[]): number {
  return axes.reduce((count, axis) => {
    const dim = shape[axisOf(axis, shape.length)];
    if (typeof dim === 'string') throw new CupelError(`the gradient of a mean over ${dim} needs a fixed size`);
    return count * dim;
  }, 1);
}

export const reduceSum = reduction(
  'reduceSum',
  'ReduceSum',
  0,
  (a, b) => a + b,
  (g, { inputs: [x], attributes }, [dy]) => [spread(g, dy!, x, attributes)],
);

const sums = reduction(
  'reduceMean',
  'ReduceMean',
  0,
  (a, b) => a + b,
  (g, { inputs: [x], attributes }, [dy]) => [
    spread(g, g.scale(dy!, 1 / countOf(x.shape, attributes.axes)), x, attributes),
  ],
);

export const reduceMean: OpRecord<'reduceMean'> = {
  ...sums,
  reference: ([x], attributes) => {
    const { shape, data } = reduce(x, attributes, 0, (a, b) => a + b);
    return [{ shape, data: data.map((sum) => (sum * data.length) / x.data.length) }];
  },
};

/** Has no gradient: it serves scales of quantisation, which are treated as constants. */
export const reduceMax = reduction('reduceMax', 'ReduceMax', Number.NEGATIVE_INFINITY, Math.max, null);
