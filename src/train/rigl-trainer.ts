// A trainee whose feed-forward blocks come and go: products have the active channels only, and so has the model that comes out.
import { CupelError } from '../base/errors.ts';
import { pruned } from '../graph/split.ts';
import { floats, type Tensor } from '../graph/tensor.ts';
import { openOnnx } from '../runtime/onnx.ts';
import type { Session } from '../runtime/session.ts';
import {
  type Channels,
  channelsOf,
  gatherTheta,
  type Mask,
  type NarrowTheta,
  narrowModel,
  narrowTheta,
  scatterTheta,
} from './channels.ts';
import { initialTheta, type LoraLayout } from './lora.ts';
import { packBatch, placementOf } from './packing.ts';
import { vector } from './parts.ts';
import { exchange, exchangeShare, gradientScores, largestBlocks, magnitudes } from './rigl.ts';
import { feeds, stepGraph, validationGraph } from './step-graph.ts';
import { type Packing, runValidation, type Trainer, type TrainerOptions, validationBatches } from './trainer.ts';

export interface RiglOptions extends Omit<TrainerOptions, 'layers' | 'selectTokens' | 'mostFeatureBytes'> {
  /** Share of the feed-forward channels that takes part. */
  readonly density: number;
  /** Batches between updates of the mask. */
  readonly batches: number;
}

/** After so many updates the mask stays, and training goes on with it. */
const UPDATES = 4;

/**
 * Theta is the adapters', then a number for each block of each layer (1 takes part), then how many updates were made: so a
 * checkpoint, the best validation and a rollback all have the mask that goes with their adapters. Their gradient is always 0.
 */
export class MaskedTheta {
  readonly channels: Channels;
  readonly #lora: LoraLayout;

  constructor(lora: LoraLayout, channels: Channels) {
    this.#lora = lora;
    this.channels = channels;
  }

  get length(): number {
    return this.#lora.size + this.channels.layers * this.channels.blocks + 1;
  }

  mask(theta: Float32Array): Mask {
    const { layers, blocks } = this.channels;
    return Array.from({ length: layers }, (_, layer) => {
      const start = this.#lora.size + layer * blocks;
      return Array.from({ length: blocks }, (_, i) => i).filter((i) => theta[start + i] === 1);
    });
  }

  setMask(theta: Float32Array, mask: Mask): void {
    const { blocks } = this.channels;
    theta.fill(0, this.#lora.size, theta.length - 1);
    mask.forEach((active, layer) => {
      for (const block of active) theta[this.#lora.size + layer * blocks + block] = 1;
    });
  }

  updates(theta: Float32Array): number {
    return theta[theta.length - 1];
  }

  countUpdate(theta: Float32Array): void {
    theta[theta.length - 1]++;
  }

  adapters(theta: Float32Array): Float32Array {
    return theta.subarray(0, this.#lora.size);
  }
}

/** `base.weights` must stay open. @throws CupelError where no adapter is on feed-forward channels, or the model has experts */
export async function openRiglTrainer(
  training: Packing,
  validation: Packing,
  options: RiglOptions,
): Promise<Trainer & { readonly masked: MaskedTheta }> {
  const { base, lora, seed, weighting, promptWeight, batches } = options;
  const channels = channelsOf(base, options.density);
  requireFeedForward(lora);
  const masked = new MaskedTheta(lora, channels);
  const initial = new Float32Array(masked.length);
  initial.set(initialTheta(lora, seed));
  masked.setMask(initial, largestBlocks(magnitudes(base.weights, lora, initial, channels), channels.kept));
  const { samples, groups, layout } = training;
  const placementAt = placementOf(samples, groups, layout, seed);
  const checking = await validationBatches({ frozen: null }, validation, weighting);
  const sessions = new NarrowSessions(training, validation, options, channels);
  const gradient = new Float32Array(masked.length);

  const update = async (theta: Float32Array, inputs: Record<string, Tensor>): Promise<void> => {
    const adapters = masked.adapters(theta);
    const scores = gradientScores(lora, await sessions.denseGradient(inputs, adapters), channels);
    const strength = magnitudes(base.weights, lora, adapters, channels);
    const share = exchangeShare(masked.updates(theta), UPDATES);
    masked.setMask(theta, exchange(masked.mask(theta), strength, scores, share));
    masked.countUpdate(theta);
  };

  return {
    masked,
    keepsFeatures: false,
    batchesAStep: 1,
    initial,
    step: async (theta, number) => {
      const batch = packBatch(samples, groups, layout, placementAt(number), weighting, promptWeight);
      const inputs = feeds(batch);
      const made = masked.updates(theta);
      if (made < UPDATES && number >= (made + 1) * batches) await update(theta, inputs);
      const { session, narrow } = await sessions.step(masked.mask(theta));
      const results = await session.run({ ...inputs, theta: vector(gatherTheta(narrow, theta)) });
      gradient.fill(0);
      scatterTheta(narrow, floats(results.gradient) as Float32Array, gradient);
      return { loss: floats(results.loss)[0], gradient, tokens: batch.tokens, weight: batch.weight };
    },
    validate: async (theta) => {
      const { session, narrow } = await sessions.validation(masked.mask(theta));
      return runValidation(session, validation, checking, { theta: vector(gatherTheta(narrow, theta)) });
    },
    close: () => sessions.close(),
  };
}

interface NarrowSession {
  readonly key: string;
  readonly session: Session;
  readonly narrow: NarrowTheta;
}

/** The sessions of the current mask; a new mask opens new ones in their place. */
class NarrowSessions {
  readonly #training: Packing;
  readonly #validation: Packing;
  readonly #options: RiglOptions;
  readonly #channels: Channels;
  #step: NarrowSession | null = null;
  #check: NarrowSession | null = null;

  constructor(training: Packing, validation: Packing, options: RiglOptions, channels: Channels) {
    this.#training = training;
    this.#validation = validation;
    this.#options = options;
    this.#channels = channels;
  }

  async step(mask: Mask): Promise<NarrowSession> {
    this.#step = await this.#open(this.#step, mask, ({ lora, base }) =>
      stepGraph({ ...this.#options, base, lora, shape: this.#training.layout }),
    );
    return this.#step;
  }

  async validation(mask: Mask): Promise<NarrowSession> {
    this.#check = await this.#open(this.#check, mask, ({ lora, base }) =>
      validationGraph({ ...this.#options, base, lora, shape: this.#validation.layout }),
    );
    return this.#check;
  }

  /** One step with all channels, in a session of its own that does not stay. */
  async denseGradient(inputs: Record<string, Tensor>, adapters: Float32Array): Promise<Float32Array> {
    await this.close();
    const { runtime } = this.#options;
    const graph = stepGraph({ ...this.#options, shape: this.#training.layout });
    const session = await openOnnx(pruned(graph), { ...runtime, profile: undefined });
    try {
      const { gradient } = await session.run({ ...inputs, theta: vector(adapters.slice()) });
      return Float32Array.from(floats(gradient));
    } finally {
      await session.close();
    }
  }

  async #open(
    current: NarrowSession | null,
    mask: Mask,
    graphOf: (model: Pick<TrainerOptions, 'base' | 'lora'>) => ReturnType<typeof stepGraph>,
  ): Promise<NarrowSession> {
    const key = mask.map((blocks) => blocks.join()).join(';');
    if (current?.key === key) return current;
    await current?.session.close();
    const { base, lora, runtime } = this.#options;
    const narrow = narrowTheta(base, lora, this.#channels, mask);
    const graph = graphOf({ base: narrowModel(base, this.#channels, mask), lora: narrow.layout });
    return { key, narrow, session: await openOnnx(pruned(graph), runtime) };
  }

  async close(): Promise<void> {
    await this.#step?.session.close();
    await this.#check?.session.close();
    this.#step = null;
    this.#check = null;
  }
}

function requireFeedForward({ adapters }: LoraLayout): void {
  if (adapters.some(({ module }) => /\.mlp\.(gate|up|down)_proj$/.test(module))) return;
  throw new CupelError('no adapter is on feed-forward channels, whose gradients decide which blocks grow', {
    place: { field: '--targets' },
    remedy: 'add gate_proj, up_proj or down_proj, or leave out --ffn-density',
    exitCode: 2,
  });
}
