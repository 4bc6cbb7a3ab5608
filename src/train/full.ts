// Full training: every weight of the model lies in theta, in float32, and moves; the graph takes them as inputs and holds none.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import type { Tensor } from '../graph/tensor.ts';
import type { WeightSource, Weights } from '../models/model.ts';
import type { Precision } from './frozen.ts';
import { rotate } from './rotation.ts';

/** One weight; in theta from `start` on. */
export interface FullTensor {
  readonly name: string;
  readonly shape: readonly number[];
  readonly start: number;
  readonly size: number;
}

export interface FullLayout {
  readonly tensors: readonly FullTensor[];
  /** Length of theta. */
  readonly size: number;
}

export function fullLayout(shapes: ReadonlyMap<string, readonly number[]>): FullLayout {
  let size = 0;
  const tensors = [...shapes].map(([name, shape]) => {
    const tensor = { name, shape, start: size, size: shape.reduce((a, b) => a * b, 1) };
    size += tensor.size;
    return tensor;
  });
  return { tensors, size };
}

/** Theta of a model as it is. */
export function thetaOf({ tensors, size }: FullLayout, weights: WeightSource): Float32Array {
  const theta = new Float32Array(size);
  for (const { name, start } of tensors) theta.set(weights.read(name), start);
  return theta;
}

/** The weights that a theta holds; nothing is copied. */
export function weightsOf({ tensors }: FullLayout, theta: Float32Array): WeightSource {
  const byName = new Map(tensors.map((tensor) => [tensor.name, tensor]));
  return {
    names: () => byName.keys(),
    shape: (name) => byName.get(name)!.shape,
    read: (name) => {
      const { start, size } = byName.get(name)!;
      return theta.subarray(start, start + size);
    },
  };
}

/** One tensor for each weight, views of `flat`, under its name after `prefix`: what the graphs take and give. */
export function tensorsOf({ tensors }: FullLayout, flat: Float32Array, prefix = ''): Record<string, Tensor> {
  return Object.fromEntries(
    tensors.map(({ name, shape, start, size }) => [
      `${prefix}${name}`,
      { dtype: 'float32', shape, data: flat.subarray(start, start + size) },
    ]),
  );
}

/** Full training computes in float32 (in bfloat16 with Cupel's own kernels), or its projections in int8; theta is float32 either way. */
export type FullPrecision = Exclude<Precision, { kind: 'int4' }> | Narrow;

/** Products with projections and the vocabulary in int8 by Cupel's own kernels, and gradients: with projections those of x, with `'all'` those of weights and of the vocabulary too, else in bfloat16. */
export interface Narrow {
  readonly kind: 'narrow';
  readonly gradients: 'inputs' | 'all';
}

/** Inputs of the graph in place of constants, in the order of the layout. */
export function movingWeights(
  b: Builder,
  { tensors }: FullLayout,
  precision: FullPrecision,
): { weights: Weights; inputs: readonly Value[] } {
  const byName = new Map(tensors.map(({ name, shape }) => [name, b.input(name, 'float32', shape)]));
  const weight = (name: string) => byName.get(name)!;
  return {
    inputs: [...byName.values()],
    weights: {
      weight,
      linear: (x, projections) => {
        const product = multiplier(b, x, precision);
        return projections.map(({ name, bias }) => {
          const y = product(weight(`${name}.weight`));
          return bias ? b.add(y, weight(`${name}.bias`)) : y;
        });
      },
      ...(precision.kind === 'narrow' && { product: (x, name) => b.matmul(x, weight(name), vocabulary(precision)) }),
    },
  };
}

/** A row of the logits' gradient has one number that is far larger than all others, the target's: in int8 with levels for each 64 of them, or not at all. */
function vocabulary({ gradients }: Narrow) {
  return { transB: true, narrow: gradients === 'all' ? 'all' : 'product' } as const;
}

/** What multiplies x with one weight after the other; in int8 x is rotated once for all of them, and so is its gradient. */
function multiplier(b: Builder, x: Value, precision: FullPrecision): (weight: Value) => Value {
  if (precision.kind !== 'int8') {
    const narrow = precision.kind === 'narrow' ? precision.gradients : undefined;
    return (weight) => b.matmul(x, weight, { transB: true, narrow });
  }
  const { levels } = precision;
  const turned = rotate(b, x);
  return (weight) => b.int8Linear(turned, x, weight, b.quantise(rotate(b, weight), 'row', levels), levels);
}
