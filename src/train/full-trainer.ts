// A trainee whose every weight moves: full fine-tuning, and continued pre-training on plain text.
import { CupelError } from '../base/errors.ts';
import { Builder } from '../graph/builder.ts';
import { gradients } from '../graph/gradient.ts';
import type { Graph } from '../graph/node.ts';
import { pruned } from '../graph/split.ts';
import { floats } from '../graph/tensor.ts';
import type { PackLayout } from '../models/model.ts';
import { alignedFloats } from '../runtime/aligned.ts';
import { loadBf16 } from '../runtime/bf16/library.ts';
import { bf16Memory } from '../runtime/bf16/session.ts';
import { type OnnxOptions, openOnnx } from '../runtime/onnx.ts';
import type { Precision } from './frozen.ts';
import { type FullLayout, type FullPrecision, movingWeights, type Narrow, tensorsOf, thetaOf } from './full.ts';
import { type LossWeighting, packBatch, placementOf } from './packing.ts';
import { type BaseModel, batchLoss, feeds, type GraphWays, stepLoss } from './step-graph.ts';
import { type Packing, runValidation, type Trainer, validationBatches } from './trainer.ts';

export interface FullTrainerOptions {
  readonly base: BaseModel;
  readonly layout: FullLayout;
  readonly precision: FullPrecision;
  /** Layers that compute again instead of keeping; default 0. */
  readonly recompute?: number;
  readonly weighting: LossWeighting;
  readonly promptWeight?: number;
  readonly seed: number;
  readonly runtime: OnnxOptions;
}

/** @throws CupelError for 4 bits, which only frozen weights can have */
export function fullPrecision(precision: Precision | Narrow): FullPrecision {
  if (precision.kind !== 'int4') return precision;
  throw new CupelError('weights that are trained cannot have 4 bits', {
    place: { field: 'precision' },
    remedy: 'use --precision int8 or float32, or leave out --full',
  });
}

/**
 * Products in int8 by Cupel's own kernels. Where AMX multiplies, gradients of weights stay in bfloat16: their levels change with every tile, for
 * which its sums would have to leave its registers.
 * @throws CupelError where the kernels cannot run
 */
export function narrowPrecision(): Narrow {
  return { kind: 'narrow', gradients: loadBf16().instructions === 'amx' ? 'inputs' : 'all' };
}

type GraphParts = Pick<FullTrainerOptions, 'base' | 'layout' | 'precision' | 'recompute'> & {
  readonly shape: PackLayout;
  readonly ways?: GraphWays;
};

/**
 * Cupel's own kernels leave out what comes after a query by themselves; chunks are for memory that a long row would take. Other engines keep the
 * last feed-forward for all tokens (ARCHITECTURE.md says why).
 */
export const OWN_WAYS: GraphWays = { chunk: 512, answersLast: true };

/** Inputs of `feeds` and the weights by their names; outputs `loss`, for each weight `gradient.NAME`, and with `squares` the sum of theirs. */
export function fullStepGraph(parts: GraphParts & { readonly squares?: boolean }): Graph {
  const { base, layout, precision, recompute, shape, ways } = parts;
  const b = new Builder();
  const { weights, inputs } = movingWeights(b, layout, precision);
  const loss = stepLoss(b, batchLoss(b, base, shape, weights, ways));
  const all = gradients(b, loss, inputs, { recompute });
  all.forEach((gradient, i) => {
    b.output(`gradient.${inputs[i].name}`, gradient);
  });
  if (parts.squares) b.output('squares', b.sumOfSquares(all));
  b.output('loss', loss);
  return b.graph();
}

function fullValidationGraph({ base, layout, precision, shape, ways }: GraphParts): Graph {
  const b = new Builder();
  const { nll, best } = batchLoss(b, base, shape, movingWeights(b, layout, precision).weights, ways);
  b.output('nll', nll);
  b.output('best', best);
  return b.graph();
}

/** Memory of steps and of validation with Cupel's own kernels, in bytes, beside weights and gradients. */
export function bf16Arenas(
  parts: Omit<GraphParts, 'shape'>,
  training: Packing,
  validation: Packing,
  answers: number,
): number {
  const tokens = ({ layout: { prefix, rows, length } }: Packing) => prefix + rows * length;
  const share = tokens(validation) / tokens(training);
  const memory = (graph: Graph, most: number) => bf16Memory(pruned(graph), new Map([['A', Math.ceil(most)]]));
  return (
    memory(fullStepGraph({ ...parts, shape: training.layout, ways: OWN_WAYS, squares: true }), answers) +
    memory(fullValidationGraph({ ...parts, shape: validation.layout, ways: OWN_WAYS }), share * answers)
  );
}

/** The weights are read at once; `base.weights` may be closed when this returns. */
export async function openFullTrainer(
  training: Packing,
  validation: Packing,
  options: FullTrainerOptions,
): Promise<Trainer> {
  const { layout, runtime, seed, weighting, promptWeight } = options;
  const ways = runtime.bf16 && OWN_WAYS;
  // others would compute it on one thread
  const squares = runtime.bf16 !== undefined;
  const step = await openOnnx(pruned(fullStepGraph({ ...options, shape: training.layout, ways, squares })), runtime);
  const checking = fullValidationGraph({ ...options, shape: validation.layout, ways });
  const validate = await openOnnx(pruned(checking), { ...runtime, profile: undefined, openvino: undefined });
  const batches = await validationBatches({ frozen: null }, validation, weighting);
  const placementAt = placementOf(training.samples, training.groups, training.layout, seed);
  const gradient = alignedFloats(layout.size);
  const into = tensorsOf(layout, gradient, 'gradient.');
  return {
    keepsFeatures: false,
    batchesAStep: 1,
    initial: thetaOf(layout, options.base.weights),
    step: async (theta, number) => {
      const { samples, groups } = training;
      const batch = packBatch(samples, groups, training.layout, placementAt(number), weighting, promptWeight);
      const results = await step.run({ ...feeds(batch), ...tensorsOf(layout, theta) }, into);
      const norm = squares ? Math.sqrt(floats(results.squares)[0]) : undefined;
      return { loss: floats(results.loss)[0], gradient, norm, tokens: batch.tokens, weight: batch.weight };
    },
    validate: (theta) => runValidation(validate, validation, batches, tensorsOf(layout, theta)),
    close: async () => {
      await step.close();
      await validate.close();
    },
  };
}
