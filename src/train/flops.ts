// How many operations a training step must make, whatever way it is computed: the numerator of model FLOPs utilisation.
import type { ModelConfig } from '../models/model.ts';
import type { LoraLayout } from './lora.ts';

export interface StepShape {
  readonly config: ModelConfig;
  readonly weights: ReadonlyMap<string, readonly number[]>;
  readonly lora: LoraLayout;
  /** Tokens that a token sees on average: half its row, and the prefix. */
  readonly context: number;
  /** Share of the tokens whose logits are wanted. */
  readonly answerShare: number;
  /** The table of the logits has a gradient as well. */
  readonly trainedHead?: boolean;
  /** Share of the layers that the backward pass goes through, where layers are sampled; default 1. */
  readonly backwardShare?: number;
}

/**
 * Useful multiplications and additions for one token of a LoRA step, or of a full one as if adapters were its weights (Chowdhery et
 * al., 2022: PaLM, appendix B): the products with frozen weights forward and for the gradient of their input, those of the adapters forward and for both gradients, attention,
 * and the logits of answers. What is computed again to save memory does not count.
 */
export function flopsPerToken(shape: StepShape): number {
  const { config, weights, lora, context, answerShare, backwardShare = 1, trainedHead } = shape;
  const first = lora.options.firstLayer ?? 0;
  const { experts } = config as { experts?: { count: number; perToken: number } };
  let frozen = 0;
  for (const [name, shape] of weights) {
    const layer = Number(name.match(/\.layers\.(\d+)\./)?.[1] ?? -1);
    if (shape.length !== 2 || layer < first) continue;
    const share = experts && /\.experts\.\d+\./.test(name) ? experts.perToken / experts.count : 1;
    frozen += share * shape[0] * shape[1];
  }
  const attention = 2 * (config.layers - first) * config.hiddenSize * context;
  const head = answerShare * config.hiddenSize * config.vocabularySize;
  const passes = 1 + backwardShare;
  const adapters = (1 + 2 * backwardShare) * lora.size;
  return 2 * (passes * frozen + adapters + (1 + 2 * backwardShare) * attention + (trainedHead ? 3 : 2) * head);
}
