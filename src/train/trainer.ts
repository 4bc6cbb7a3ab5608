// A trainee on ONNX Runtime: one session for steps, one for validation, batches packed as they are asked for.
import { Builder } from '../graph/builder.ts';
import type { Graph, Value } from '../graph/node.ts';
import { frozenCut, pruned, splitGraph } from '../graph/split.ts';
import { floats, type Tensor } from '../graph/tensor.ts';
import type { PackLayout } from '../models/model.ts';
import { type OnnxOptions, openOnnx } from '../runtime/onnx.ts';
import type { Session } from '../runtime/session.ts';
import { FeatureCache, featureBytes, frozenFeeds } from './features.ts';
import type { Precision } from './frozen.ts';
import { largestLevel, saturationProbe } from './int8.ts';
import type { Trainee, Validation } from './loop.ts';
import { initialTheta, type LoraLayout } from './lora.ts';
import {
  type Batch,
  type LossWeighting,
  type Placement,
  packBatch,
  packLayout,
  placementOf,
  placements,
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
  /** Layers that compute again instead of keeping; default 0. See `GraphOptions`. */
  readonly recompute?: number;
  readonly weighting: LossWeighting;
  readonly seed: number;
  readonly runtime: OnnxOptions;
  /** Features of frozen first layers are kept if they take no more than this; default 2 GiB. */
  readonly mostFeatureBytes?: number;
}

export interface Trainer extends Trainee {
  /** The hidden states before the first trained layer are computed once a conversation. */
  readonly keepsFeatures: boolean;
  close(): Promise<void>;
}

const MOST_FEATURE_BYTES = 2 ** 31;

/** Loads the weights into the sessions; `base.weights` may be closed when this returns. */
export async function openTrainer(training: Packing, validation: Packing, options: TrainerOptions): Promise<Trainer> {
  const { base, lora, precision, runtime, seed, weighting } = options;
  const common = { base, lora, precision };
  const step = await openParts(
    stepGraph({ ...common, shape: training.layout, recompute: options.recompute }),
    training,
    options,
  );
  const validate = await openParts(validationGraph({ ...common, shape: validation.layout }), validation, {
    ...options,
    runtime: { ...runtime, profile: undefined },
  });
  const batchOf = batchSource(step, training, options);
  const batches = await validationBatches(validate, validation, weighting);
  const gradient: Tensor = { dtype: 'float32', shape: [lora.size], data: new Float32Array(lora.size) };
  return {
    keepsFeatures: step.frozen !== null,
    initial: initialTheta(lora, seed),
    step: async (theta, number) => {
      const { tokens, weight, inputs } = await batchOf(number);
      const results = await step.whole.run({ ...inputs, theta: vector(theta) }, { gradient });
      return { loss: floats(results.loss)[0], gradient: floats(results.gradient), tokens, weight };
    },
    validate: (theta) => runValidation(validate.whole, validation, batches, theta),
    close: async () => {
      for (const { whole, frozen } of [step, validate]) {
        await whole.close();
        await frozen?.session.close();
      }
    },
  };
}

/** A graph in sessions: whole, or from the first trained layer on with the frozen layers before it apart. */
interface Parts {
  readonly whole: Session;
  readonly frozen: { readonly session: Session; readonly cut: Value; readonly width: number } | null;
}

async function openParts(graph: Graph, { samples, groups }: Packing, options: TrainerOptions): Promise<Parts> {
  const { base, lora, runtime } = options;
  const width = base.config.hiddenSize;
  const most = options.mostFeatureBytes ?? MOST_FEATURE_BYTES;
  const worthwhile = (lora.options.firstLayer ?? 0) > 0 && featureBytes(samples, groups, width) <= most;
  const input = (name: string) => graph.inputs.find((value) => value.name === name)!;
  const cut = worthwhile ? frozenCut(graph, input('ids'), input('theta')) : null;
  if (!cut) return { whole: await openOnnx(pruned(graph), runtime), frozen: null };
  const { before, after } = splitGraph(graph, cut);
  const session = await openOnnx(before, { ...runtime, profile: undefined });
  return { whole: await openOnnx(after, runtime), frozen: { session, cut, width } };
}

interface StepInputs {
  readonly tokens: number;
  readonly weight: number;
  readonly inputs: Record<string, Tensor>;
}

/** The inputs of training step `number`, features of frozen layers in place of token ids where there are some. */
function batchSource(
  { frozen }: Parts,
  { samples, groups, layout }: Packing,
  { seed, weighting }: TrainerOptions,
): (number: number) => Promise<StepInputs> {
  const pack = (placement: Placement) => packBatch(samples, groups, layout, placement, weighting);
  if (!frozen) {
    const placementAt = placementOf(samples, groups, layout, seed);
    return async (number) => {
      const batch = pack(placementAt(number));
      return { tokens: batch.tokens, weight: batch.weight, inputs: feeds(batch) };
    };
  }
  const { session, cut, width } = frozen;
  const order = placements(samples, groups, layout, seed);
  const cache = new FeatureCache({ session, width, samples, groups, layout, placements: order });
  return async (number) => {
    const batch = pack(cache.placement(number));
    const { ids: _, ...inputs } = feeds(batch);
    return {
      tokens: batch.tokens,
      weight: batch.weight,
      inputs: { ...inputs, [cut.name]: await cache.features(number) },
    };
  };
}

interface ValidationBatch {
  readonly batch: Batch;
  readonly members: readonly number[];
  readonly inputs: Record<string, Tensor>;
}

async function validationBatches(
  { frozen }: Parts,
  { samples, groups, layout }: Packing,
  weighting: LossWeighting,
): Promise<ValidationBatch[]> {
  const batches: ValidationBatch[] = [];
  for (const placement of placeOnce(samples, groups, layout)) {
    const batch = packBatch(samples, groups, layout, placement, weighting);
    const { weights: _, ids, ...inputs } = feeds(batch);
    const start = frozen ? { [frozen.cut.name]: (await frozen.session.run(frozenFeeds(batch))).cut } : { ids };
    batches.push({ batch, members: batch.members, inputs: { ...inputs, ...start } as Record<string, Tensor> });
  }
  return batches;
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
  for (const { batch, members, inputs } of batches) {
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
