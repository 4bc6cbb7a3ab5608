// Memory and time of serving a model in one precision to N users: a roofline, term by term.
import { sharedSize } from '../../serve/engine/shared-size.ts';
import type { Device } from './device.ts';
import { type Estimate, estimate } from './estimate.ts';
import { cacheBytes, fileBytes, type ModelSize } from './model-size.ts';

export interface ServingLoad {
  users: number;
  /** Tokens each user's conversation holds when it is full. */
  context: number;
}

/** Tokens of a prompt that are computed at once. */
const BATCH = 512;
/** Node, its libraries and llama.cpp's. */
const RUNTIME_BYTES = 120e6;
/** Widths of the residual stream that are in use at once while a batch is computed. */
const WIDTHS = 24;
/** Of what the training runtime reaches on a processor, llama.cpp reaches these shares (measured on AVX2, in three precisions). */
const LLAMA = { bandwidth: 0.55, compute: 0.5 };
/** On processors, products of a few rows reach this share of the speed of large ones (measured with llama.cpp on AVX2). */
const FEW_ROWS = 0.4;
/** Seconds to start one layer's work: a handful of kernels, or of barriers between threads. */
const LAYER_SECONDS = { cpu: 10e-6, card: 30e-6 };

export interface ServingEstimate extends Estimate {
  type: string;
  /** Tokens a second of all users together, and of each. */
  tokensPerSecond: number;
  perUser: number;
  promptTokensPerSecond: number;
}

export function planServing(
  model: ModelSize,
  type: string,
  device: Device,
  { users, context }: ServingLoad,
): ServingEstimate {
  const weights = fileBytes(model.config, type);
  const cache = users * cacheBytes(model.config, context);
  const buffers = 4 * (BATCH * WIDTHS * model.hidden + users * model.vocabulary);
  const shared = device.cpu ? sharedSize(context, users) : undefined;
  const shares = device.cpu ? LLAMA : { bandwidth: 1, compute: 1 };
  const bandwidth = device.bandwidth * device.reached.bandwidth * shares.bandwidth;
  const peak = /^q/.test(type) ? device.int8 : type === 'f32' ? device.float32 : device.float16;
  const speed = peak * device.reached.compute * shares.compute;
  // a token looks the embedding up, and multiplies by everything else
  const products = 2 * (model.active - (model.output > 0 ? model.embedding : 0));
  // many users meet many experts
  const share = model.experts ? 1 - (1 - model.experts.chosen / model.experts.routed) ** users : 1;
  const lookedUp = model.output > 0 ? (weights.shared * model.embedding) / (model.total || 1) : 0;
  const read =
    (weights.shared - Math.min(lookedUp, weights.shared / 2) + share * (weights.all - weights.shared)) / bandwidth;
  const readCache = cache / 2 / bandwidth;
  const few = device.cpu ? FEW_ROWS : 1;
  const compute = (users * products) / (speed * few);
  const start = model.layers * (device.cpu ? LAYER_SECONDS.cpu : LAYER_SECONDS.card);
  const step = Math.max(read + readCache, compute) + start;
  return {
    type,
    ...estimate(
      [
        { name: 'weights', value: weights.all, how: `${model.total} parameters in ${type}` },
        { name: 'cache', value: cache, how: `${users} users x ${context} tokens, 16 bits${cacheKind(model)}` },
        { name: 'buffers', value: buffers, how: `a batch of ${BATCH} tokens, logits of ${users}` },
        ...(shared
          ? [
              {
                name: 'common prefix',
                value: cacheBytes(model.config, shared.cells),
                how: `one more cache, of ${shared.cells} tokens, from the first prompts that begin alike on`,
              },
            ]
          : []),
        { name: 'runtime', value: RUNTIME_BYTES, how: 'Node and llama.cpp' },
      ],
      [
        {
          name: 'read weights',
          value: read,
          how: `at ${gb(bandwidth)}/s${share < 1 ? `, ${(100 * share).toFixed(0)}% of the experts` : ''}`,
        },
        { name: 'read cache', value: readCache, how: 'half full' },
        {
          name: 'compute',
          value: compute,
          how: `${users} x ${(products / 1e9).toFixed(2)} GFLOP at ${((few * speed) / 1e12).toFixed(2)} TFLOP/s${few < 1 ? ', a share of large products' : ''}; hides behind the reads, or they behind it`,
        },
        { name: 'start layers', value: start, how: `${model.layers} layers` },
      ],
    ),
    stepSeconds: step,
    tokensPerSecond: users / step,
    perUser: 1 / step,
    promptTokensPerSecond: speed / products,
  };
}

const gb = (bytes: number): string => `${(bytes / 1e9).toFixed(1)} GB`;

function cacheKind({ config }: ModelSize): string {
  if (typeof config.kv_lora_rank === 'number') return ', latent';
  return Number(config.sliding_window_pattern ?? 1) > 1 ? ', windows kept short' : '';
}
