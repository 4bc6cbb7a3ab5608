// Broadcasting for element-wise ops: the reference loop and the sums that undo it in gradients.

import type { Builder } from '../builder.ts';
import { sameShape } from '../dims.ts';
import type { Value } from '../node.ts';
import { type Doubles, sizeOf, stridesOf } from '../tensor.ts';

/** The shape of an element-wise result at run time. */
export function broadcastSizes(shapes: readonly (readonly number[])[]): number[] {
  const rank = Math.max(...shapes.map((shape) => shape.length));
  return Array.from({ length: rank }, (_, i) =>
    shapes.reduce((size, shape) => {
      const own = shape[shape.length - rank + i] ?? 1;
      return own === 1 ? size : own;
    }, 1),
  );
}

/** Strides that read `shape` as if it had the wider shape `to`. */
function broadcastStrides(shape: readonly number[], to: readonly number[]): number[] {
  const strides = stridesOf(shape);
  return to.map((_, i) => {
    const axis = shape.length - to.length + i;
    return axis < 0 || shape[axis] === 1 ? 0 : strides[axis];
  });
}

/** Applies `f` to the broadcast elements of the inputs. */
export function mapBroadcast(inputs: readonly Doubles[], f: (...xs: number[]) => number): Doubles {
  const shape = broadcastSizes(inputs.map((input) => input.shape));
  const strides = inputs.map((input) => broadcastStrides(input.shape, shape));
  const data = new Float64Array(sizeOf(shape));
  const index = new Array<number>(shape.length).fill(0);
  const at = inputs.map(() => 0);
  for (let i = 0; i < data.length; i++) {
    data[i] = f(...inputs.map((input, k) => input.data[at[k]]));
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      const wraps = ++index[axis] === shape[axis];
      for (let k = 0; k < at.length; k++) at[k] += wraps ? -strides[k][axis] * (shape[axis] - 1) : strides[k][axis];
      if (!wraps) break;
      index[axis] = 0;
    }
  }
  return { shape, data };
}

/** Sums a gradient over the axes along which `target` was broadcast, giving it the target's shape. */
export function sumTo(b: Builder, gradient: Value, target: Value): Value {
  if (sameShape(gradient.shape, target.shape)) return gradient;
  const lead = gradient.shape.length - target.shape.length;
  const axes = gradient.shape.flatMap((dim, i) => (i < lead || (target.shape[i - lead] === 1 && dim !== 1) ? [i] : []));
  const summed = axes.length > 0 ? b.reduceSum(gradient, axes, true) : gradient;
  return lead > 0 ? b.reshape(summed, target.shape) : summed;
}
