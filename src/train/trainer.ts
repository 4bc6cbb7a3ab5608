// A trainee on ONNX Runtime: one session for steps, one for validation, batches packed as they are asked for.
import { Builder } from '../graph/builder.ts';
import type { Graph, Value } from '../graph/node.ts';
import { frozenCut, pruned, splitGraph } from '../graph/split.ts';
import { floats, type Tensor } from '../graph/tensor.ts';
import type { PackLayout } from '../models/model.ts';
import { ModelFolder } from '../runtime/model-folder.ts';
import { type OnnxOptions, openOnnx } from '../runtime/onnx.ts';
import type { Session, Tensors } from '../runtime/session.ts';
import { FeatureCache, featureBytes, frozenFeeds } from './features.ts';
import type { Precision } from './frozen.ts';
import { largestLevel, saturationProbe } from './int8.ts';
import { type LayerWindow, layerWindows, windowAt } from './layer-sampling.ts';
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
import { cutBatch, mayBeCut, type PartPlan, PartRunner, planParts, vector, whole } from './parts.ts';
import { groupByPrefix, oneGroupOf, type PrefixGroup } from './prefix.ts';
import type { Sample } from './sample.ts';
import { TokenSelection } from './select.ts';
import { type BaseModel, feeds, stepGraph, validationGraph } from './step-graph.ts';

/** Samples with their prefixes found and a shape for their batches. */
export interface Packing {
  readonly samples: readonly Sample[];
  readonly groups: readonly PrefixGroup[];
  readonly layout: PackLayout;
}

/** @param lanes the rows of a batch are a multiple of it where there are as many */
export function planPacking(samples: readonly Sample[], batchTokens: number, lanes = 1): Packing {
  const groups = groupByPrefix(samples, batchTokens);
  return { samples, groups, layout: packLayout(samples, groups, batchTokens, lanes) };
}

/**
 * Where every sample is computed once, a group that does not fill a batch wastes the rest of it: of batches of several times
 * `batchTokens` and of one, with small groups and with a single one, those that compute the fewest positions.
 */
export function planChecking(samples: readonly Sample[], batchTokens: number, times: number): Packing {
  const plans = [...new Set([times, 1])].flatMap((n) => {
    const found = planPacking(samples, n * batchTokens);
    const groups = oneGroupOf(samples);
    return [found, { samples, groups, layout: packLayout(samples, groups, n * batchTokens) }];
  });
  return plans.reduce((best, plan) => (positions(plan) < positions(best) ? plan : best));
}

function positions({ samples, groups, layout }: Packing): number {
  const { prefix, rows, length } = layout;
  return placeOnce(samples, groups, layout).length * (prefix + rows * length);
}

export interface TrainerOptions {
  readonly base: BaseModel;
  readonly lora: LoraLayout;
  readonly precision: Precision;
  /** Layers that compute again instead of keeping; default 0. See `GraphOptions`. */
  readonly recompute?: number;
  readonly weighting: LossWeighting;
  /** Of prompt tokens beside answer tokens; default 0. See `packBatch`. */
  readonly promptWeight?: number;
  readonly seed: number;
  /** With `lanes` so many parts of a batch are computed at once; see `planParts`. */
  readonly runtime: OnnxOptions;
  /** Batches that make one step, as one so many times as large would; default 1. Models with a balancing loss take one. */
  readonly accumulate?: number;
  /** How a batch is cut; default what suits the lanes. */
  readonly parts?: PartPlan;
  /** Features of frozen first layers are kept if they take no more than this; default 2 GiB. */
  readonly mostFeatureBytes?: number;
  /** Share of a batch's answer tokens that carry loss, those with the highest loss; default all. See `TokenSelection`. */
  readonly selectTokens?: number;
  /** Train so many neighbouring layers at a time, others after every so many batches. The base's weights must then stay open. */
  readonly layers?: { readonly atOnce: number; readonly batches: number };
}

export interface Trainer extends Trainee {
  /** The hidden states before the first trained layer are computed once a conversation. */
  readonly keepsFeatures: boolean;
  /** Batches that a step takes by itself. */
  readonly batchesAStep: number;
  close(): Promise<void>;
}

const MOST_FEATURE_BYTES = 2 ** 31;

/** Loads the weights into the sessions; unless layers are sampled `base.weights` may be closed when this returns. */
export async function openTrainer(training: Packing, validation: Packing, options: TrainerOptions): Promise<Trainer> {
  // steps, whatever is trained in them, and validation have the same weights
  const models = new ModelFolder(options.runtime.folder);
  try {
    const runtime = { ...options.runtime, models };
    const trainer = await openSharing(training, validation, { ...options, runtime });
    const close = async () => {
      await trainer.close();
      models.close();
    };
    return { ...trainer, close };
  } catch (error) {
    models.close();
    throw error;
  }
}

async function openSharing(training: Packing, validation: Packing, options: TrainerOptions): Promise<Trainer> {
  const { base, lora, precision, runtime, seed, weighting, selectTokens } = options;
  const common = { base, lora, precision };
  // all but the step itself stays with ONNX Runtime, which does not compile for long
  const quiet = { ...runtime, profile: undefined, openvino: undefined };
  const selection = selectTokens ? new TokenSelection(base.config.vocabularySize, selectTokens) : null;
  const together = base.family.balance ? 1 : (options.accumulate ?? 1);
  const cutting = partsOf(training.layout, options);
  const runner = new PartRunner(cutting.lanes, lora.size);
  const steps = new StepSessions(training, options, selection, cutting);
  await steps.at(0);
  const checking = validationGraph({ ...common, shape: validation.layout });
  const validate = await openSessions(checking, validation, { ...options, runtime: { ...quiet, lanes: 1 } });
  const batches = await validationBatches(validate, validation, weighting);
  return {
    keepsFeatures: (await steps.at(0)).sessions.frozen !== null,
    batchesAStep: together,
    initial: initialTheta(lora, seed),
    memory: selection?.memory,
    step: async (theta, number) => {
      const first = number * together;
      const { sessions, window, batchOf } = await steps.at(first);
      const drawn: StepInputs[] = [];
      for (let i = 0; i < together; i++) drawn.push(await batchOf(first + i));
      const weight = drawn.reduce((total, batch) => total + batch.weight, 0);
      const parts = drawn.flatMap((batch) => batch.parts.map((part) => weighed(part, batch.weight / weight)));
      const moving = window ? theta.subarray(window.range.start, window.range.end) : theta;
      const common = { theta: vector(theta), ...(window ? { window: vector(moving) } : {}) };
      const { loss, gradient, nll } = await runner.run(sessions.whole, parts, common, moving.length);
      let at = 0;
      for (const { targets } of drawn) {
        selection?.remember(targets, nll.subarray(at, at + targets.length));
        at += targets.length;
      }
      const tokens = drawn.reduce((total, batch) => total + batch.tokens, 0);
      return { loss, gradient, tokens, weight, range: window?.range };
    },
    validate: (theta) => runValidation(validate.whole, validation, batches, { theta: vector(theta) }),
    close: async () => {
      await steps.close();
      await closeSessions(validate);
    },
  };
}

function partsOf(layout: PackLayout, { base, lora, runtime, parts, accumulate }: TrainerOptions): PartPlan {
  if (!mayBeCut(base.family, lora.options.firstLayer)) return whole(layout);
  return parts ?? planParts(layout, runtime.lanes ?? 1, accumulate);
}

/** A batch with its share of the loss of several. */
function weighed(part: Tensors, share: number): Tensors {
  return share === 1 ? part : { ...part, weights: vector(floats(part.weights).map((weight) => weight * share)) };
}

interface StepSession {
  readonly sessions: Sessions;
  readonly window: LayerWindow | undefined;
  readonly batchOf: (number: number) => Promise<StepInputs>;
}

/** The session for each step: one for all, or one for each window of layers, of which only the last asked for is open. */
class StepSessions {
  readonly #training: Packing;
  readonly #options: TrainerOptions;
  readonly #selection: TokenSelection | null;
  readonly #cutting: PartPlan;
  readonly #windows: readonly LayerWindow[];
  #open: { readonly index: number; readonly session: StepSession } | null = null;

  constructor(training: Packing, options: TrainerOptions, selection: TokenSelection | null, cutting: PartPlan) {
    this.#training = training;
    this.#cutting = cutting;
    this.#options = { ...options, runtime: { ...options.runtime, lanes: cutting.lanes } };
    this.#selection = selection;
    this.#windows = options.layers ? layerWindows(options.lora, options.layers.atOnce) : [];
  }

  async at(number: number): Promise<StepSession> {
    const { layers, seed } = this.#options;
    const index = layers ? windowAt(this.#windows.length, Math.floor(number / layers.batches), seed) : 0;
    if (this.#open?.index === index) return this.#open.session;
    await this.close();
    const session = await this.#make(this.#windows[index]);
    this.#open = { index, session };
    return session;
  }

  async #make(window: LayerWindow | undefined): Promise<StepSession> {
    const { base, lora, precision: own, recompute } = this.#options;
    const precision: Precision = own.kind === 'int8' ? { ...own, head: true } : own;
    const graph = stepGraph({ base, lora, precision, recompute, window, shape: this.#cutting.layout });
    const sessions = await openSessions(graph, this.#training, this.#options);
    const source = { sessions, training: this.#training, selection: this.#selection, cutting: this.#cutting };
    return { sessions, window, batchOf: batchSource(source, this.#options) };
  }

  async close(): Promise<void> {
    if (this.#open) await closeSessions(this.#open.session.sessions);
    this.#open = null;
  }
}

async function closeSessions({ whole, frozen }: Sessions): Promise<void> {
  await whole.close();
  await frozen?.session.close();
}

/** A graph in sessions: whole, or from the first trained layer on with the frozen layers before it apart. */
interface Sessions {
  readonly whole: Session;
  readonly frozen: { readonly session: Session; readonly cut: Value; readonly width: number } | null;
}

async function openSessions(graph: Graph, { samples, groups }: Packing, options: TrainerOptions): Promise<Sessions> {
  const { base, lora, runtime, layers } = options;
  const width = base.config.hiddenSize;
  const most = options.mostFeatureBytes ?? MOST_FEATURE_BYTES;
  const worthwhile = !layers && (lora.options.firstLayer ?? 0) > 0 && featureBytes(samples, groups, width) <= most;
  const input = (name: string) => graph.inputs.find((value) => value.name === name)!;
  const cut = worthwhile ? frozenCut(graph, input('ids'), input('theta')) : null;
  if (!cut) return { whole: await openOnnx(pruned(graph), runtime), frozen: null };
  const { before, after } = splitGraph(graph, cut);
  const session = await openOnnx(before, { ...runtime, profile: undefined, openvino: undefined });
  return { whole: await openOnnx(after, runtime), frozen: { session, cut, width } };
}

interface StepInputs {
  readonly tokens: number;
  readonly weight: number;
  readonly parts: readonly Tensors[];
  /** Ids of the tokens that carry loss. */
  readonly targets: Int32Array;
}

interface BatchSource {
  readonly sessions: Sessions;
  readonly training: Packing;
  readonly selection: TokenSelection | null;
  readonly cutting: PartPlan;
}

/** The inputs of training step `number`, features of frozen layers in place of token ids where there are some. */
function batchSource(
  { sessions: { frozen }, training: { samples, groups, layout }, selection, cutting }: BatchSource,
  { seed, weighting, promptWeight }: TrainerOptions,
): (number: number) => Promise<StepInputs> {
  const pack = (placement: Placement): Batch => {
    const batch = packBatch(samples, groups, layout, placement, weighting, promptWeight);
    return selection?.select(batch) ?? batch;
  };
  if (!frozen) {
    const placementAt = placementOf(samples, groups, layout, seed);
    return async (number) => {
      const batch = pack(placementAt(number));
      const parts = cutBatch(batch, layout, cutting).map(feeds);
      return { tokens: batch.tokens, weight: batch.weight, parts, targets: batch.targets };
    };
  }
  const { session, cut, width } = frozen;
  const order = placements(samples, groups, layout, seed);
  const cache = new FeatureCache({ session, width, samples, groups, layout, placements: order });
  return async (number) => {
    const batch = pack(cache.placement(number));
    const { ids: _, ...inputs } = feeds(batch);
    const parts = [{ ...inputs, [cut.name]: await cache.features(number) }];
    return { tokens: batch.tokens, weight: batch.weight, parts, targets: batch.targets };
  };
}

export interface ValidationBatch {
  readonly batch: Batch;
  readonly members: readonly number[];
  readonly inputs: Record<string, Tensor>;
}

export async function validationBatches(
  { frozen }: Pick<Sessions, 'frozen'>,
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

/** @param weights theta, under the names of the graph's inputs. The mean over all answer tokens, whatever the weighting of training. */
export async function runValidation(
  session: Session,
  { samples }: Packing,
  batches: readonly ValidationBatch[],
  weights: Readonly<Record<string, Tensor>>,
): Promise<Validation> {
  let loss = 0;
  let count = 0;
  let exact = 0;
  for (const { batch, members, inputs } of batches) {
    const results = await session.run({ ...inputs, ...weights });
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
