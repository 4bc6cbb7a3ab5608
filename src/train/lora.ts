// LoRA (Hu et al., 2021): y = x W^T + (alpha / rank) x A^T B^T with W frozen; all A and B live in one flat vector, theta.
import { CupelError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';

export interface LoraOptions {
  readonly rank: number;
  /** Adapters are scaled by alpha / rank. */
  readonly alpha: number;
  /** Last parts of module names, e.g. `q_proj`. */
  readonly targets: readonly string[];
  /** Layers before this one get no adapter: the backward pass ends there. Default 0. */
  readonly firstLayer?: number;
}

/** One adapted projection. In theta: A [rank, in] at `a`, then B transposed, [rank, out], at `b`. */
export interface Adapter {
  /** Hugging Face module, e.g. `model.layers.0.mlp.up_proj`. */
  readonly module: string;
  readonly inputs: number;
  readonly outputs: number;
  readonly a: number;
  readonly b: number;
}

export interface LoraLayout {
  readonly options: LoraOptions;
  readonly adapters: readonly Adapter[];
  /** Length of theta. */
  readonly size: number;
}

/** @param shapes every weight of the model. @throws CupelError when no module matches a target */
export function loraLayout(shapes: ReadonlyMap<string, readonly number[]>, options: LoraOptions): LoraLayout {
  const adapters: Adapter[] = [];
  let size = 0;
  for (const [name, shape] of shapes) {
    const module = name.replace(/\.weight$/, '');
    if (shape.length !== 2 || module === name || !options.targets.includes(module.split('.').at(-1)!)) continue;
    if (Number(module.match(/\.layers\.(\d+)\./)?.[1] ?? 0) < (options.firstLayer ?? 0)) continue;
    const [outputs, inputs] = shape;
    const a = size;
    const b = a + options.rank * inputs;
    size = b + options.rank * outputs;
    adapters.push({ module, inputs, outputs, a, b });
  }
  for (const target of options.targets) {
    if (adapters.some(({ module }) => module.endsWith(`.${target}`))) continue;
    throw new CupelError(`the model has no module named ${target}`, {
      place: { field: 'targets' },
      remedy: 'name projections of the model, e.g. q_proj,k_proj,v_proj,o_proj,gate_proj,up_proj,down_proj',
    });
  }
  return { options, adapters, size };
}

/** A uniform within 1/sqrt(in) as PEFT has it, B zero: the adapted model begins as the base model. */
export function initialTheta({ adapters, options, size }: LoraLayout, seed: number): Float32Array {
  const random = new Random(seed);
  const theta = new Float32Array(size);
  for (const { a, inputs } of adapters) {
    const bound = 1 / Math.sqrt(inputs);
    for (let i = 0; i < options.rank * inputs; i++) theta[a + i] = (2 * random.next() - 1) * bound;
  }
  return theta;
}

/** A [rank, in] and B [out, rank] of one adapter, as PEFT stores them. */
export function adapterMatrices(
  theta: Float32Array,
  { a, b, inputs, outputs }: Adapter,
  rank: number,
): { A: Float32Array; B: Float32Array } {
  const B = new Float32Array(outputs * rank);
  for (let r = 0; r < rank; r++) for (let n = 0; n < outputs; n++) B[n * rank + r] = theta[b + r * outputs + n];
  return { A: theta.slice(a, a + rank * inputs), B };
}

/** W + alpha / rank * B A of a module, [out, in]; a new array where there is an adapter. */
export function adaptedWeight(
  values: Float32Array,
  module: string,
  { adapters, options: { rank, alpha } }: LoraLayout,
  theta: Float32Array,
): Float32Array {
  const adapter = adapters.find((one) => one.module === module);
  if (!adapter) return values;
  const { A, B } = adapterMatrices(theta, adapter, rank);
  const { inputs, outputs } = adapter;
  const sum = values.slice();
  for (let n = 0; n < outputs; n++) {
    for (let r = 0; r < rank; r++) {
      const factor = (alpha / rank) * B[n * rank + r];
      if (factor === 0) continue;
      for (let k = 0; k < inputs; k++) sum[n * inputs + k] += factor * A[r * inputs + k];
    }
  }
  return sum;
}

/** The matrices of all adapters as graph values: A [rank, in] and B transposed [rank, out]. */
export type LoraValues = ReadonlyMap<string, { readonly A: Value; readonly B: Value }>;

export function loraValues(b: Builder, theta: Value, { adapters, options: { rank } }: LoraLayout): LoraValues {
  const sizes = adapters.flatMap(({ inputs, outputs }) => [rank * inputs, rank * outputs]);
  const parts = b.split(theta, 0, sizes);
  return new Map(
    adapters.map(({ module, inputs, outputs }, i) => [
      module,
      { A: b.reshape(parts[2 * i], [rank, inputs]), B: b.reshape(parts[2 * i + 1], [rank, outputs]) },
    ]),
  );
}
