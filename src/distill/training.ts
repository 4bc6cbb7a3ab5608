// One training run, in the thread it is called on: conversations in, a PEFT adapter and its losses out.
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { writeFileDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { toJsonl } from '../base/jsonl.ts';
import type { Progress } from '../base/progress.ts';
import { withTemplate } from '../formats/base-template.ts';
import { type Checkpoint, openCheckpoint } from '../formats/checkpoint.ts';
import { writeHuggingFaceFolder } from '../formats/huggingface-write.ts';
import { writePeft } from '../formats/peft.ts';
import { familyOf } from '../models/families.ts';
import type { ModelFamily, WeightSource } from '../models/model.ts';
import { loadBf16 } from '../runtime/bf16/library.ts';
import { chooseDevice, type Device } from '../runtime/device.ts';
import { measureInt8Speed, measureOwnSpeed } from '../runtime/matrix-speed.ts';
import { type OpenvinoOptions, openvinoPrecision, openvinoVersion } from '../runtime/openvino.ts';
import { takeProfile } from '../runtime/profile.ts';
import { accumulated } from '../train/accumulate.ts';
import { gatherTheta, narrowModel, narrowTheta } from '../train/channels.ts';
import { Crew } from '../train/crew.ts';
import { flopsPerToken } from '../train/flops.ts';
import type { Precision } from '../train/frozen.ts';
import { type FullLayout, fullLayout, type Narrow, weightsOf } from '../train/full.ts';
import { bf16Arenas, fullPrecision, narrowPrecision, OWN_WAYS, openFullTrainer } from '../train/full-trainer.ts';
import { backwardShare } from '../train/layer-sampling.ts';
import { type LoopResult, type LossRecord, type Progressing, train } from '../train/loop.ts';
import { adaptedWeight, adapterMatrices, type LoraLayout, loraLayout } from '../train/lora.ts';
import { STATE_BYTES } from '../train/optimiser.ts';
import { mayBeCut } from '../train/parts.ts';
import { type MaskedTheta, openRiglTrainer } from '../train/rigl-trainer.ts';
import { answerTokens, type Sample } from '../train/sample.ts';
import type { BaseModel } from '../train/step-graph.ts';
import { int8Precision, openTrainer, type Packing, planChecking, planPacking, type Trainer } from '../train/trainer.ts';
import { refuseForBf16, refuseForOpenvino } from './engine.ts';
import type { DistillFacts } from './facts.ts';
import type { DistillOptions } from './options.ts';
import { describeNeed, fitMemory, memoryLimit, type Need } from './plan.ts';
import type { TrainingJob } from './protocol.ts';
import { type Material, readMaterial } from './samples.ts';
import { readText } from './text.ts';

/** Seconds between checkpoints, which is what a kill may lose: the share of a short budget, and at most this. */
const CHECKPOINT_SHARE = 0.1;
const MOST_CHECKPOINT_SECONDS = 20;
/** Nothing is kept for a backward pass, so validation batches are larger: a shared prefix is then computed less often. */
const VALIDATION_BATCHES = 4;
/** Each needs a part of its own: more make parts too small. */
const MOST_LANES = 4;
/** Opening the graph of other layers costs a few steps' time. */
const LAYER_STEPS = 25;
/** The same goes for other channels. */
const FFN_STEPS = 25;

/** @throws CupelError; Interrupted when `job.stop` was set */
export async function runTraining(job: TrainingJob, progress: Progress): Promise<DistillFacts> {
  const started = performance.now();
  const say = (message: string) => progress({ stage: 'distill', message });
  const student = openCheckpoint(job.student);
  let trainer: Trainer | undefined;
  try {
    const material =
      job.text === undefined
        ? await readMaterial(job.dataset!, student, job.options)
        : readText(job.text, student, job.options);
    const setup = await prepare(job, student, material, say);
    trainer = setup.trainer;
    const spent = (performance.now() - started) / 1000;
    const result = await loop(job, setup, spent, progress);
    if (setup.full) writeModel(job, student, setup.full, result);
    else if (setup.masked) writeNarrow(job, student, setup, setup.masked, result);
    else writeAdapter(job, student, setup.lora, result);
    await trainer.close();
    trainer = undefined;
    // measured again: others may have used the machine before
    setup.flops.peak = Math.max(setup.flops.peak, await peakOf(job, setup.openvino));
    const facts = factsOf(job.options, material, setup, result);
    return job.options.profile ? { ...facts, profile: takeProfile(profilePrefix(job)) } : facts;
  } finally {
    await trainer?.close();
    student.close();
  }
}

/** Operations a second that products make at most: those in bfloat16 where it is trained in that, else those in int8. */
async function peakOf({ options, folder }: TrainingJob, openvino?: OpenvinoOptions): Promise<number> {
  const { threads, precision, engine } = options;
  if (engine === 'cupel') return 1e9 * (await measureOwnSpeed(precision === 'int8' ? 'int8' : 'bf16', { threads }));
  const runtimes = [undefined, ...(openvino ? [openvino] : [])];
  let peak = 0;
  for (const one of runtimes) peak = Math.max(peak, await measureInt8Speed({ threads, folder, openvino: one }));
  return 1e9 * peak;
}

function profilePrefix({ folder }: TrainingJob): string {
  return join(folder, 'profile');
}

interface Setup {
  trainer: Trainer;
  /** Where every weight is trained. */
  full: FullLayout | null;
  /** Where only some feed-forward channels take part. */
  masked: MaskedTheta | null;
  base: BaseModel;
  /** Without adapters when every weight is trained. */
  lora: LoraLayout;
  packing: Packing;
  need: Need;
  recompute: number;
  precision: string;
  device: string;
  engine: string;
  openvino: OpenvinoOptions | undefined;
  /** Operations: useful ones for a token, and the most this machine makes in a second. */
  flops: { perToken: number; peak: number };
  tokensPerEpoch: number;
}

async function prepare(
  job: TrainingJob,
  student: Checkpoint,
  { train: samples, validation, tooLong }: Material,
  say: (message: string) => void,
): Promise<Setup> {
  const { options, folder } = job;
  const family = familyOf(student.config);
  const config = family.parseConfig(student.config);
  const base: BaseModel = { family, config, weights: student.weights };
  const { rank, alpha, targets, firstLayer, batchTokens, weighting, promptWeight, seed, threads, accumulate } = options;
  const weights = family.weightShapes(config);
  const full = options.full ? fullLayout(weights) : null;
  const loraOptions = { rank, alpha, targets, firstLayer };
  const lora = full ? { options: loraOptions, adapters: [], size: full.size } : loraLayout(weights, loraOptions);
  const device = await deviceFor(options, say);
  const openvino = openvinoFor(job, device);
  refuseForBf16(options);
  const bf16 = options.engine === 'cupel' ? {} : undefined;
  const precision = await precisionOf(job);
  const lanes = lanesOf(options, family, device);
  const packing = planPacking(samples, batchTokens, lanes);
  const checking = planChecking(validation, batchTokens, options.memory ? 1 : VALIDATION_BATCHES);
  const tokensPerEpoch = epochTokens(packing, batchTokens);
  if (tooLong.length > 0)
    say(`${tooLong.length} conversations have more than ${options.maxTokens} tokens and are left out`);
  say(
    `${samples.length} ${job.text === undefined ? 'conversations' : 'pieces of text'}, ${tokensPerEpoch} tokens an epoch; ${validation.length} validate; ${lora.size} parameters${full ? ': every weight' : ` in ${lora.adapters.length} adapters of rank ${rank}`}`,
  );
  const { prefix, rows, length } = packing.layout;
  say(`a batch holds ${rows} rows of ${length} tokens after a shared prefix of ${prefix}`);
  const answers = promptWeight ? packing.layout.rows * packing.layout.length : answersInBatch(packing);
  const shape = {
    config,
    // weights that are trained are part of theta
    weights: full ? new Map<string, readonly number[]>() : weights,
    // their int8 copies are not
    moving: full ? productSize(weights) : 0,
    lora,
    precision: options.precision,
    train: packing.layout,
    validation: checking.layout,
    answers,
    stateBytes: STATE_BYTES[options.optimiser ?? 'adamw'],
    compiled: openvino && openvinoPrecision(openvino),
    arenas:
      full && bf16
        ? (recompute: number) =>
            bf16Arenas(
              { base, layout: full, precision: fullPrecision(precision), recompute },
              packing,
              checking,
              answers,
            )
        : undefined,
  };
  const { parts, recompute, need } = fitMemory(shape, memoryLimit(options.memory), batchTokens, lanes, accumulate);
  say(describeNeed(need));
  if (openvino) say(`OpenVINO ${openvinoVersion(openvino)} compiles the step, which takes some seconds`);
  if (parts.count > 1) say(`a batch is computed in ${parts.count} parts, ${parts.lanes} at once`);
  else if (parts.lanes > 1) say(`${parts.lanes} batches of a step are computed at once`);
  if (recompute > 0)
    say(`${recompute} of ${config.layers} layers are computed again in the backward pass, to save memory`);
  const profile = options.profile ? profilePrefix(job) : undefined;
  const runtime = { threads, folder, device, lanes, openvino, bf16, profile };
  const common = { base, recompute, weighting, promptWeight, seed, runtime };
  const density = options.ffnDensity ?? 1;
  const adapters = { ...common, lora, precision: precision as Precision };
  const narrow =
    density < 1
      ? await openRiglTrainer(packing, checking, { ...adapters, density, batches: ffnBatches(options) })
      : null;
  const trainer =
    narrow ??
    (full
      ? await openFullTrainer(packing, checking, { ...common, layout: full, precision: fullPrecision(precision) })
      : await openTrainer(packing, checking, {
          ...adapters,
          parts,
          accumulate,
          selectTokens: options.selectTokens,
          layers: sampledLayers(options),
        }));
  const perToken = flopsPerToken({
    config,
    weights,
    lora,
    full: full !== null,
    answersLast: bf16 && OWN_WAYS.answersLast,
    context: prefix + length / 2,
    answerShare: promptWeight ? 1 : answerShare(packing) * (options.selectTokens ?? 1),
    backwardShare: options.layersPerStep && !full ? backwardShare(lora, options.layersPerStep, config.layers) : 1,
  });
  const peak = await peakOf(job, openvino);
  if (trainer.keepsFeatures) say(`what layers before ${firstLayer} make of a conversation is computed once and kept`);
  const levels = precision.kind === 'int8' ? precision.levels : precision.kind === 'narrow' ? 127 : null;
  const name = levels === null ? options.precision : `int8, levels up to ${levels}`;
  return {
    trainer,
    full,
    masked: narrow?.masked ?? null,
    base,
    lora,
    packing,
    need,
    recompute,
    precision: name,
    device,
    openvino,
    engine: openvino
      ? `openvino ${openvinoVersion(openvino)}`
      : bf16
        ? `cupel, ${loadBf16().instructions}`
        : 'onnxruntime',
    flops: { perToken, peak },
    tokensPerEpoch,
  };
}

const FLOAT32 = { kind: 'float32' } as const;

/** What the graph says of products; its float32 products are those that Cupel's own kernels compute in bfloat16. */
async function precisionOf({ options, folder }: TrainingJob): Promise<Precision | Narrow> {
  const { precision, threads, engine } = options;
  if (precision === 'int8' && engine === 'cupel') return narrowPrecision();
  if (precision === 'int8') return int8Precision({ threads, folder });
  return precision === 'bf16' ? FLOAT32 : { kind: precision };
}

async function deviceFor(options: DistillOptions, say: (message: string) => void): Promise<Device> {
  const { device, reasons } = await chooseDevice(options.device);
  if (reasons.length > 0) say(`computes on ${device}; ${reasons.join('; ')}`);
  return device;
}

/** OpenVINO where it is the engine and the processor computes. */
function openvinoFor({ options, openvino: folder }: TrainingJob, device: Device): OpenvinoOptions | undefined {
  if (options.engine !== 'openvino') return undefined;
  refuseForOpenvino(options);
  if (!folder)
    throw new CupelError('OpenVINO trains, and nobody said where its libraries are', { place: { field: 'openvino' } });
  if (device !== 'cpu') return undefined;
  return { folder };
}

/** Parts of a batch that are computed at once, a thread each, where parts can be: adapters on the processor. */
function lanesOf(options: DistillOptions, family: ModelFamily, device: Device): number {
  const whole = options.full || (options.ffnDensity ?? 1) < 1 || !mayBeCut(family, options.firstLayer);
  return whole || device !== 'cpu' ? 1 : Math.min(MOST_LANES, options.threads ?? availableParallelism());
}

/** Weights that tokens are multiplied with; the head is counted by itself. */
function productSize(weights: ReadonlyMap<string, readonly number[]>): number {
  let size = 0;
  for (const [name, shape] of weights) if (shape.length === 2 && name.includes('.layers.')) size += shape[0] * shape[1];
  return size;
}

function ffnBatches({ ffnSteps = FFN_STEPS, accumulate = 1 }: DistillOptions): number {
  return ffnSteps * accumulate;
}

function sampledLayers({ layersPerStep, layerSteps = LAYER_STEPS, accumulate = 1 }: DistillOptions) {
  return layersPerStep ? { atOnce: layersPerStep, batches: layerSteps * accumulate } : undefined;
}

/** Suffixes once, and the shared prefixes once a batch. */
function epochTokens({ samples, groups }: Packing, batchTokens: number): number {
  return groups.reduce((sum, { prefix, members }) => {
    const suffixes = members.reduce((n, index) => n + samples[index].ids.length - prefix.length, 0);
    return sum + suffixes + Math.ceil(suffixes / batchTokens) * prefix.length;
  }, 0);
}

/** Share of the tokens that carry loss, prefixes not counted. */
function answerShare({ samples, groups }: Packing): number {
  let all = 0;
  for (const { prefix, members } of groups) for (const i of members) all += samples[i].ids.length - prefix.length;
  return samples.reduce((sum, sample) => sum + answerTokens(sample), 0) / all;
}

/** As if the conversations with the most answer tokens for their length filled a batch. */
function answersInBatch({ samples, groups, layout }: Packing): number {
  const room = layout.rows * layout.length;
  const density = (sample: Sample, prefix: number) => answerTokens(sample) / (sample.ids.length - prefix);
  let most = 0;
  for (const { prefix, members } of groups) {
    for (const index of members) most = Math.max(most, density(samples[index], prefix.length));
  }
  return Math.ceil(room * most);
}

function loop(
  { options, folder, stop }: TrainingJob,
  { trainer, packing, tokensPerEpoch, flops }: Setup,
  spent: number,
  progress: Progress,
): Promise<LoopResult> {
  const { prefix, rows, length } = packing.layout;
  const { accumulate = 1 } = options;
  const stepTokens = Math.min(tokensPerEpoch, prefix + rows * length) * accumulate;
  const flag = new Int32Array(stop);
  const crew = new Crew(options.threads ?? availableParallelism());
  const run = train(
    accumulated(trainer, accumulate / trainer.batchesAStep, crew),
    {
      learningRate: options.learningRate,
      warmupSteps: options.warmupSteps,
      floor: options.floor,
      budgetSeconds: Math.max(1, options.budgetSeconds - spent),
      mostSteps: Math.max(1, Math.ceil((options.maxEpochs * tokensPerEpoch) / stepTokens)),
      steps: options.steps,
      patience: options.patience,
      optimiser: options.optimiser,
      crew,
      checkpointSeconds: Math.min(MOST_CHECKPOINT_SECONDS, CHECKPOINT_SHARE * options.budgetSeconds),
    },
    join(folder, '.checkpoints'),
    {
      clock: () => performance.now() / 1000,
      onStep: (state) =>
        progress(stepEvent(state, flops.perToken / flops.peak, options.precision === 'bf16' ? 'bf16' : 'int8')),
      onNote: ({ step, message }) => progress({ stage: 'distill', message: `step ${step}: ${message}` }),
      stopping: () => Atomics.load(flag, 0) !== 0,
    },
  );
  return run.finally(() => crew.close());
}

/** @param cost share of the peak that one token a second takes; @param kind whose peak it is */
function stepEvent({ record, plan, secondsLeft }: Progressing, cost: number, kind: 'int8' | 'bf16') {
  const { step, loss, lr, tokensPerSecond, validation, exact } = record;
  const checked =
    validation === undefined ? '' : `, validation loss ${validation.toFixed(3)}, exact ${(100 * exact!).toFixed(0)}%`;
  return {
    stage: 'distill',
    done: step,
    total: plan?.steps,
    unit: 'steps',
    secondsLeft,
    message: `loss ${loss.toFixed(3)}, ${tokensPerSecond.toFixed(0)} tokens/s (${(100 * cost * tokensPerSecond).toFixed(0)}% of the ${kind} peak)${checked}`,
    values: {
      step,
      loss,
      lr,
      tokensPerSecond,
      ...(validation === undefined ? {} : { validationLoss: validation, validationExact: exact! }),
    },
  };
}

function writeAdapter(
  { options, folder }: TrainingJob,
  student: Checkpoint,
  lora: LoraLayout,
  result: LoopResult,
): void {
  const pairs = new Map(
    lora.adapters.map((adapter) => {
      const { inputs, outputs } = adapter;
      return [adapter.module, { ...adapterMatrices(result.theta, adapter, options.rank), inputs, outputs }];
    }),
  );
  writeFileDurably(join(folder, 'losses.jsonl'), toJsonl(result.records.map(lossLine)));
  writePeft(folder, { rank: options.rank, alpha: options.alpha, base: student.name, pairs });
}

/** The trained model as a Hugging Face folder, in float32. */
function writeModel(
  { folder }: TrainingJob,
  student: Checkpoint,
  full: FullLayout,
  { theta, records }: LoopResult,
): void {
  writeFileDurably(join(folder, 'losses.jsonl'), toJsonl(records.map(lossLine)));
  writeFolder(folder, withTemplate(student), weightsOf(full, theta));
}

/** The model with the channels that take part at the best validation, its adapters merged in, as a Hugging Face folder. */
function writeNarrow(
  { folder }: TrainingJob,
  student: Checkpoint,
  { base, lora }: Setup,
  masked: MaskedTheta,
  { theta, records }: LoopResult,
): void {
  writeFileDurably(join(folder, 'losses.jsonl'), toJsonl(records.map(lossLine)));
  const mask = masked.mask(theta);
  const { weights } = narrowModel(base, masked.channels, mask);
  const narrow = narrowTheta(base, lora, masked.channels, mask);
  const own = gatherTheta(narrow, theta);
  const read = (name: string) => adaptedWeight(weights.read(name), name.replace(/\.weight$/, ''), narrow.layout, own);
  const { kept, size } = masked.channels;
  const model = Object.defineProperty(Object.create(withTemplate(student)) as Checkpoint, 'config', {
    value: { ...student.config, intermediate_size: kept * size },
    enumerable: true,
  });
  writeFolder(folder, model, { ...weights, read });
}

function writeFolder(folder: string, model: Checkpoint, source: WeightSource): void {
  // a large tensor is asked for in several pieces, one after the other
  let last: { name: string; values: Float32Array } = { name: '', values: new Float32Array() };
  const read = (name: string) => {
    if (last.name !== name) last = { name, values: source.read(name) };
    return last.values;
  };
  const readRows = (name: string, from: number, count: number) => {
    const columns = source
      .shape(name)
      .slice(1)
      .reduce((a, b) => a * b, 1);
    return read(name).subarray(from * columns, (from + count) * columns);
  };
  writeHuggingFaceFolder(folder, model, { weights: { ...source, read, readRows, close: () => {} }, dtype: 'F32' });
}

function lossLine({ validation, ...record }: LossRecord) {
  return { ...record, validationLoss: validation };
}

function factsOf(options: DistillOptions, material: Material, setup: Setup, result: LoopResult): DistillFacts {
  const { records, best, steps, seconds, reason, notes } = result;
  const tokens = records.at(-1)?.tokens ?? 0;
  const tokensPerSecond = median(records.map((record) => record.tokensPerSecond));
  const { perToken, peak } = setup.flops;
  return {
    parameters: setup.lora.size,
    conversations: { train: material.train.length, validation: material.validation.length },
    tooLong: material.tooLong,
    tokensPerEpoch: setup.tokensPerEpoch,
    batch: setup.packing.layout,
    steps,
    tokens,
    tokensPerSecond,
    epochs: tokens / setup.tokensPerEpoch,
    validationLoss: best.loss,
    validationExact: best.exact,
    bestStep: best.step,
    reason,
    notes,
    memory: { planned: setup.need.memory, peak: process.resourceUsage().maxRSS * 1024 },
    recomputedLayers: setup.recompute,
    flops: { perToken, peakGops: peak / 1e9, utilisation: (tokensPerSecond * perToken) / peak },
    device: setup.device,
    engine: setup.engine,
    precision: setup.precision,
    trainingSeconds: seconds,
    weighting: options.weighting,
  };
}

function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  return sorted[Math.floor(sorted.length / 2)] ?? 0;
}
