// Memory and time of training a model, with LoRA or whole: a roofline, term by term.
import type { Device } from './device.ts';
import { type Estimate, estimate } from './estimate.ts';
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
/** The same where the graph is compiled, which leaves out what single elements only pass through. */
const PASSES_COMPILED = 6;
/** Products in bfloat16 beside float32. */
const BFLOAT16_SPEED = 2;
/** Share of a batch's tokens that carry loss. */
const ANSWERS = 0.25;
const RUNTIME_BYTES = 350e6;
/** Master weight, gradient and two moments of the optimiser. */
const TRAINED_BYTES = 16;

export interface TrainingEstimate extends Estimate {
  method: Method;
  tokensPerSecond: number;
}

export function planTraining(model: ModelSize, method: Method, device: Device, load: TrainingLoad): TrainingEstimate {
  const { memory, time } = {
    memory: memoryTerms(model, method, device, load),
    time: timeTerms(model, method, device, load),
  };
  const all = estimate(memory, time);
  return { method, ...all, tokensPerSecond: load.batchTokens / all.stepSeconds };
}

const projections = ({ total, embedding, output }: ModelSize): number => total - embedding - output;
const adapters = (model: ModelSize, rank: number): number => rank * model.adaptedWidths;

function memoryTerms(model: ModelSize, method: Method, device: Device, load: TrainingLoad) {
  const { batchTokens, length, rank } = load;
  const tables = model.embedding + model.output;
  const frozen = device.cpu
    ? // on a processor: int8 both ways round, twice while the session is made; tables in float32
      {
        value: 2 * (2 * projections(model) + 4 * tables),
        how: 'int8 in both orders, tables in float32, held twice by the runtime',
      }
    : { value: 2 * model.total, how: '16 bits' };
  const kept = device.cpu ? WIDTHS_KEPT * model.layers : WIDTHS_CHECKPOINTED * model.layers + WIDTHS_KEPT;
  const compiled = device.bfloat16 && method === 'lora';
  const bytes = device.cpu && !compiled ? 4 : 2;
  const trained = method === 'lora' ? adapters(model, rank) : model.total;
  const weights =
    method === 'lora'
      ? { name: 'frozen weights', ...frozen }
      : {
          name: 'weights for products',
          value: (device.cpu ? 4 : 2) * model.total,
          how: device.cpu ? 'float32' : '16 bits',
        };
  return [
    weights,
    { name: 'trained', value: TRAINED_BYTES * trained, how: `${trained} numbers: value, gradient, two moments` },
    {
      name: 'activations',
      value:
        bytes *
        (kept * model.hidden * batchTokens +
          2 * model.layers * model.heads * batchTokens * length * (device.cpu ? 1 : 0)),
      how: `${batchTokens} tokens, ${device.cpu ? 'all layers kept' : 'checkpointed by layer, attention fused'}`,
    },
    {
      name: 'logits',
      value: 4 * 3 * ANSWERS * batchTokens * model.vocabulary,
      how: `of ${100 * ANSWERS}% of the tokens, three times`,
    },
    { name: 'runtime', value: RUNTIME_BYTES, how: 'Node, ONNX Runtime' },
  ];
}

function timeTerms(model: ModelSize, method: Method, device: Device, load: TrainingLoad) {
  const { batchTokens, length, rank } = load;
  const reached = device.reached.compute;
  const active = model.active - model.embedding - model.output;
  // LoRA: forward, and the gradient of the inputs; checkpoints compute the forward pass once more
  const passes = (method === 'lora' ? 2 : 3) + (device.cpu ? 0 : 1);
  const products = 2 * passes * active * batchTokens;
  const speed =
    (device.cpu && method === 'lora' ? device.int8 : device.cpu ? device.float32 : device.float16) * reached;
  const attention =
    3 * 2 * batchTokens * length * model.heads * model.headWidths * model.layers * (device.cpu ? 1 : 0.5);
  const compiled = device.bfloat16 && method === 'lora';
  const slow = (compiled ? BFLOAT16_SPEED * device.float32 : device.cpu ? device.float32 : device.float16) * reached;
  const low = method === 'lora' ? 3 * 2 * adapters(model, rank) * batchTokens : 0;
  const logits = 3 * 2 * ANSWERS * batchTokens * model.vocabulary * model.hidden;
  const moved =
    (device.cpu && !compiled ? 4 : 2) *
    (compiled ? PASSES_COMPILED : PASSES) *
    WIDTHS_KEPT *
    model.layers *
    model.hidden *
    batchTokens;
  const flops = (value: number, rate: number) =>
    `${(value / 1e12).toFixed(3)} TFLOP at ${(rate / 1e12).toFixed(2)} TFLOP/s`;
  return [
    { name: 'products', value: products / speed, how: flops(products, speed) },
    { name: 'attention', value: attention / slow, how: flops(attention, slow) },
    ...(low > 0
      ? [{ name: 'adapters', value: low / (slow / 4), how: `${flops(low, slow / 4)}: thin matrices reach a quarter` }]
      : []),
    { name: 'logits', value: logits / slow, how: flops(logits, slow) },
    {
      name: 'element by element',
      value: moved / (device.bandwidth * device.reached.bandwidth),
      how: `${(moved / 1e9).toFixed(2)} GB through memory at ${((device.bandwidth * device.reached.bandwidth) / 1e9).toFixed(0)} GB/s`,
    },
  ];
}
