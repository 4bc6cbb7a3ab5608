// The weights of a frozen base model with LoRA beside its projections, in int8 or float32.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import type { Projection, WeightSource, Weights } from '../models/model.ts';
import { int4Weight } from './int4.ts';
import { int8Table, int8Weight, type Levels } from './int8.ts';
import type { LoraValues } from './lora.ts';
import { rotate } from './rotation.ts';

export type Precision =
  | { readonly kind: 'float32' }
  | { readonly kind: 'int4' }
  | {
      readonly kind: 'int8';
      readonly levels: Levels;
      /** The logits too. */
      readonly head?: boolean;
    };

export interface AdapterBranch {
  readonly values: LoraValues;
  /** alpha / rank */
  readonly scale: number;
}

/**
 * Projections that share an input are one frozen product; the adapters stay one for each projection, as PEFT names them.
 * @param source must outlive the making of the session: weights are read when it asks for them
 */
export function frozenWeights(
  b: Builder,
  source: WeightSource,
  precision: Precision,
  adapters: AdapterBranch | null,
): Weights {
  const weight = (name: string, shape: readonly number[]) =>
    b.constant(name, 'float32', shape, () => source.read(name));
  return {
    weight,
    linear(x, projections) {
      const inputs = x.shape.at(-1) as number;
      const sizes = projections.map(({ out }) => out);
      const product = (group: readonly Projection[]) => frozenProduct(b, source, precision, x, inputs, group);
      const parts = sizes.every((out) => out >= WIDE)
        ? projections.map((one) => product([one]))
        : b.split(product(projections), x.shape.length - 1, sizes);
      const base = projections.map(({ name, out, bias }, i) =>
        bias ? b.add(parts[i], weight(`${name}.bias`, [out])) : parts[i],
      );
      return adapters ? addAdapters(b, x, base, projections, adapters) : base;
    },
    ...(precision.kind === 'int8' && precision.head
      ? {
          product: (x, name, shape) => {
            const table = int8Table(b, name, shape, () => source.read(name), precision.levels);
            // the gradient of logits has one large entry a row, beside which int8 loses the others
            return b.int8MatMul(rotate(b, x), table, weight(name, shape), x);
          },
        }
      : {}),
  };
}

/** One product of x with the A of all adapters: x is read once forward, and its gradient is made at once. */
function addAdapters(
  b: Builder,
  x: Value,
  base: readonly Value[],
  projections: readonly Projection[],
  { values, scale }: AdapterBranch,
): Value[] {
  const pairs = projections.flatMap(({ name }, i) => {
    const pair = values.get(name);
    return pair ? [{ ...pair, at: i }] : [];
  });
  if (pairs.length === 0) return [...base];
  const stacked = b.concat(
    pairs.map(({ A }) => A),
    0,
  );
  const narrow = b.matmul(x, stacked, { transB: true, alpha: scale });
  const ranks = pairs.map(({ A }) => A.shape[0] as number);
  const parts = b.split(narrow, narrow.shape.length - 1, ranks);
  const adapted = [...base];
  pairs.forEach(({ B, at }, i) => {
    adapted[at] = b.add(b.matmul(parts[i], B), base[at]);
  });
  return adapted;
}

/** Outputs beyond which a product has enough columns of its own, so that splitting a joint one costs more than it saves. */
const WIDE = 1024;

/** x [...,K] through the stacked matrices of all projections: [..., sum of outputs]. */
function frozenProduct(
  b: Builder,
  source: WeightSource,
  precision: Precision,
  x: Value,
  inputs: number,
  projections: readonly Projection[],
): Value {
  const outputs = projections.reduce((sum, { out }) => sum + out, 0);
  const name = `${projections.map((projection) => projection.name).join('+')}.weight`;
  const read = () => stack(projections.map((projection) => source.read(`${projection.name}.weight`)));
  if (precision.kind === 'float32') {
    return b.matmul(x, b.constant(name, 'float32', [outputs, inputs], read), { transB: true });
  }
  if (precision.kind === 'int4') {
    const { q, scale, gradientScale } = int4Weight(b, name, [outputs, inputs], read);
    return b.int4MatMul(x, q, scale, gradientScale);
  }
  const { forward, transposed } = int8Weight(b, name, [outputs, inputs], read, precision.levels);
  // (x H)(W H)^T = x W^T: outliers of x are spread before it is quantised
  return b.int8MatMul(rotate(b, x), forward, transposed, x);
}

function stack(parts: readonly Float32Array[]): Float32Array {
  if (parts.length === 1) return parts[0];
  const all = new Float32Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}
