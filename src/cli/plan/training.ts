// Memory and time of training a model, with LoRA or whole: a roofline, term by term.
import type { Device } from './device.ts';
import { type Estimate, estimate, type Term } from './estimate.ts';
import type { ModelSize } from './model-size.ts';

export type Method = 'lora' | 'full';

export interface TrainingLoad {
  /** Tokens of a batch, and of one conversation in it. */
  batchTokens: number;
  length: number;
  /** LoRA rank. */
  rank: number;
}

/** Numbers kept for the backward pass, for each token and layer, in widths of the residual stream (measured on SmolLM2). */
const WIDTHS_KEPT = 30;
/** With checkpoints only the stream itself is kept for each layer, and one layer is kept whole. */
const WIDTHS_CHECKPOINTED = 1;
/** How often each kept number is written or read: forward, backward, and between the steps of each. */
const PASSES = 10;
/** The same where steps are fused, which leaves out what single elements only pass through. */
const PASSES_FUSED = 6;
/** Products in bfloat16 beside float32. */
const BFLOAT16_SPEED = 2;
/** Share of a batch's tokens that carry loss. */
const ANSWERS = 0.25;
const RUNTIME_BYTES = 350e6;
/** Master weight, gradient and two moments of the optimiser. */
const TRAINED_BYTES = 16;
/** AdamW reads and writes a weight and its moments and reads its gradient. */
const UPDATE_BYTES = 28;
/** Weights in float32 are read for either pass, and written in what products take. */
const TILED_BYTES = 2 * (4 + 2);

export interface TrainingEstimate extends Estimate {
  method: Method;
  tokensPerSecond: number;
}

/** What computes, and what that keeps. */
interface Way {
  /** Operations a second of products with weights, and of others. */
  readonly products: number;
  readonly others: number;
  /** Of a kept number. */
  readonly bytes: number;
  /** Numbers kept of each token, in widths of the residual stream, and how. */
  readonly kept: number;
  readonly how: string;
  /** Attention keeps its probabilities, and computes those that a mask hides. */
  readonly wholeScores: boolean;
  readonly passes: number;
  /** Layers are computed once more in the backward pass. */
  readonly again: boolean;
  /** Weights beside those that are trained. */
  readonly weights?: Term;
}

export function planTraining(model: ModelSize, method: Method, device: Device, load: TrainingLoad): TrainingEstimate {
  const way = wayOf(model, method, device);
  const trained = method === 'lora' ? adapters(model, load.rank) : model.total;
  const all = estimate(memoryTerms(model, way, trained, load), timeTerms(model, method, device, way, trained, load));
  return { method, ...all, tokensPerSecond: load.batchTokens / all.stepSeconds };
}

const projections = ({ total, embedding, output }: ModelSize): number => total - embedding - output;
const adapters = (model: ModelSize, rank: number): number => rank * model.adaptedWidths;

function wayOf(model: ModelSize, method: Method, device: Device): Way {
  const lora = method === 'lora';
  const reached = device.reached.compute;
  const all = { kept: WIDTHS_KEPT * model.layers, how: 'all layers kept' };
  if (!device.cpu)
    return {
      products: device.float16 * reached,
      others: device.float16 * reached,
      bytes: 2,
      kept: WIDTHS_CHECKPOINTED * model.layers + WIDTHS_KEPT,
      how: 'checkpointed by layer, attention fused',
      wholeScores: false,
      passes: PASSES,
      again: true,
      weights: { name: lora ? 'frozen weights' : 'weights for products', value: 2 * model.total, how: '16 bits' },
    };
  // Cupel's own kernels: weights become tiles as they are needed
  if (!lora && device.own)
    return {
      products: device.own.products,
      others: device.own.others,
      bytes: 2,
      ...all,
      how: 'all layers kept, attention fused',
      wholeScores: false,
      passes: PASSES_FUSED,
      again: false,
    };
  const compiled = lora && device.bfloat16;
  return {
    products: (lora ? device.int8 : device.float32) * reached,
    others: (compiled ? BFLOAT16_SPEED : 1) * device.float32 * reached,
    bytes: compiled ? 2 : 4,
    ...all,
    wholeScores: true,
    passes: compiled ? PASSES_FUSED : PASSES,
    again: false,
    weights: lora
      ? {
          name: 'frozen weights',
          // int8 both ways round, twice while the session is made; tables in float32
          value: 2 * (2 * projections(model) + 4 * (model.embedding + model.output)),
          how: 'int8 in both orders, tables in float32, held twice by the runtime',
        }
      : { name: 'weights for products', value: 4 * model.total, how: 'float32' },
  };
}

function memoryTerms(model: ModelSize, way: Way, trained: number, { batchTokens, length }: TrainingLoad): Term[] {
  const scores = way.wholeScores ? 2 * model.layers * model.heads * batchTokens * length : 0;
  return [
    ...(way.weights ? [way.weights] : []),
    { name: 'trained', value: TRAINED_BYTES * trained, how: `${trained} numbers: value, gradient, two moments` },
    {
      name: 'activations',
      value: way.bytes * (way.kept * model.hidden * batchTokens + scores),
      how: `${batchTokens} tokens, ${way.how}`,
    },
    {
      name: 'logits',
      value: 4 * 3 * ANSWERS * batchTokens * model.vocabulary,
      how: `of ${100 * ANSWERS}% of the tokens, three times`,
    },
    { name: 'runtime', value: RUNTIME_BYTES, how: 'Node, and the libraries that compute' },
  ];
}

function timeTerms(
  model: ModelSize,
  method: Method,
  device: Device,
  way: Way,
  trained: number,
  { batchTokens, length }: TrainingLoad,
): Term[] {
  const active = model.active - model.embedding - model.output;
  // LoRA: forward, and the gradient of the inputs
  const passes = (method === 'lora' ? 2 : 3) + (way.again ? 1 : 0);
  const all = 3 * 2 * batchTokens * length * model.heads * model.headWidths * model.layers;
  const arithmetic = (name: string, flops: number, rate: number, more = '') => ({
    name,
    value: flops / rate,
    how: `${(flops / 1e12).toFixed(3)} TFLOP at ${(rate / 1e12).toFixed(2)} TFLOP/s${more}`,
  });
  const rate = device.bandwidth * device.reached.bandwidth;
  const memory = (name: string, bytes: number) => ({
    name,
    value: bytes / rate,
    how: `${(bytes / 1e9).toFixed(2)} GB through memory at ${(rate / 1e9).toFixed(0)} GB/s`,
  });
  return [
    arithmetic('products', 2 * passes * active * batchTokens, way.products),
    arithmetic('attention', (way.wholeScores ? 1 : 0.5) * all, way.others),
    ...(method === 'lora'
      ? [arithmetic('adapters', 3 * 2 * trained * batchTokens, way.others / 4, ': thin matrices reach a quarter')]
      : [memory('weights', (UPDATE_BYTES + (way.weights ? 0 : TILED_BYTES)) * trained)]),
    arithmetic('logits', 3 * 2 * ANSWERS * batchTokens * model.vocabulary * model.hidden, way.others),
    memory('element by element', way.bytes * way.passes * WIDTHS_KEPT * model.layers * model.hidden * batchTokens),
  ];
}
