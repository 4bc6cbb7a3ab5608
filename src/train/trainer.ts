// A trainee on ONNX Runtime: one session for steps, one for validation, batches packed as they are asked for.
import { Builder } from '../graph/builder.ts';
import { floats, type Tensor } from '../graph/tensor.ts';
import type { PackLayout } from '../models/model.ts';
import { type OnnxOptions, openOnnx } from '../runtime/onnx.ts';
import type { Session } from '../runtime/session.ts';
import type { Precision } from './frozen.ts';
import { largestLevel, saturationProbe } from './int8.ts';
import type { StepResult, Trainee, Validation } from './loop.ts';
import { initialTheta, type LoraLayout } from './lora.ts';
import {
  type Batch,
  type LossWeighting,
  type Placement,
  packBatch,
  packLayout,
  placementOf,
  placeOnce,
} from './packing.ts';
import { groupByPrefix, type PrefixGroup } from './prefix.ts';
import type { Sample } from './sample.ts';
import { type BaseModel, feeds, stepGraph, validationGraph } from './step-graph.ts';

/** Samples with their prefixes found and a shape for their batches. */
export interface Packing {
  readonly samples: readonly Sample[];
  readonly groups: readonly PrefixGroup[];
  readonly layout: PackLayout;
}

export function planPacking(samples: readonly Sample[], batchTokens: number): Packing {
  const groups = groupByPrefix(samples, batchTokens);
  return { samples, groups, layout: packLayout(samples, groups, batchTokens) };
}

export interface TrainerOptions {
  readonly base: BaseModel;
  readonly lora: LoraLayout;
  readonly precision: Precision;
  readonly weighting: LossWeighting;
  readonly seed: number;
  readonly runtime: OnnxOptions;
}

export interface Trainer extends Trainee {
  close(): Promise<void>;
}

/** Loads the weights into both sessions; `base.weights` may be closed when this returns. */
export async function openTrainer(training: Packing, validation: Packing, options: TrainerOptions): Promise<Trainer> {
  const { base, lora, precision, runtime } = options;
  const common = { base, lora, precision };
  const step = await openOnnx(stepGraph({ ...common, shape: training.layout }), runtime);
  const validate = await openOnnx(validationGraph({ ...common, shape: validation.layout }), {
    ...runtime,
    profile: undefined,
  });
  const batches = validationBatches(validation, options.weighting);
  const placements = placementOf(training.samples, training.groups, training.layout, options.seed);
  const gradient: Tensor = { dtype: 'float32', shape: [lora.size], data: new Float32Array(lora.size) };
  return {
    initial: initialTheta(lora, options.seed),
    step: (theta, number) => runStep(step, training, placements(number), options.weighting, theta, gradient),
    validate: (theta) => runValidation(validate, validation, batches, theta),
    close: async () => {
      await step.close();
      await validate.close();
    },
  };
}

async function runStep(
  session: Session,
  { samples, groups, layout }: Packing,
  placement: Placement,
  weighting: LossWeighting,
  theta: Float32Array,
  gradient: Tensor,
): Promise<StepResult> {
  const batch = packBatch(samples, groups, layout, placement, weighting);
  const results = await session.run({ ...feeds(batch), theta: vector(theta) }, { gradient });
  return { loss: floats(results.loss)[0], gradient: floats(results.gradient), tokens: batch.tokens };
}

interface ValidationBatch {
  readonly batch: Batch;
  readonly members: readonly number[];
}

function validationBatches({ samples, groups, layout }: Packing, weighting: LossWeighting): ValidationBatch[] {
  return placeOnce(samples, groups, layout).map((placement) => {
    const batch = packBatch(samples, groups, layout, placement, weighting);
    return { batch, members: batch.members };
  });
}

/** The mean over all answer tokens, whatever the weighting of training. */
async function runValidation(
  session: Session,
  { samples }: Packing,
  batches: readonly ValidationBatch[],
  theta: Float32Array,
): Promise<Validation> {
  let loss = 0;
  let count = 0;
  let exact = 0;
  for (const { batch, members } of batches) {
    const { weights: _, ...inputs } = feeds(batch);
    const results = await session.run({ ...inputs, theta: vector(theta) });
    const nll = floats(results.nll);
    const best = floats(results.best);
    const wrong = new Set<number>();
    for (let i = 0; i < nll.length; i++) {
      loss += nll[i];
      if (-nll[i] < best[i]) wrong.add(batch.segments[batch.lossAt[i]]);
    }
    count += nll.length;
    exact += members.length - wrong.size;
  }
  return { loss: loss / count, exact: exact / samples.length };
}

function vector(theta: Float32Array): Tensor {
  return { dtype: 'float32', shape: [theta.length], data: theta };
}

/** int8 with as many levels as this machine's kernels sum without overflow. */
export async function int8Precision(runtime: OnnxOptions): Promise<Precision> {
  const b = new Builder();
  saturationProbe(b);
  const session = await openOnnx(b.graph(), runtime);
  try {
    return { kind: 'int8', levels: await largestLevel(session) };
  } finally {
    await session.close();
  }
}
