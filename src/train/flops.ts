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
  /** Every weight moves, the table of the logits among them; there are no adapters. */
  readonly full?: boolean;
  /** What comes after the last attention is computed for answers alone (`GraphWays`). */
  readonly answersLast?: boolean;
  /** Share of the layers that the backward pass goes through, where layers are sampled; default 1. */
  readonly backwardShare?: number;
}

/**
 * Useful multiplications and additions for one token of a LoRA step, or of a full one (Chowdhery et al., 2022: PaLM, appendix B): the products
 * with weights forward and for the gradients of their input and, in a full step, of the weights; those of the adapters forward and for both
 * gradients, attention, and the logits of answers. What is computed again to save memory does not count.
 */
export function flopsPerToken(shape: StepShape): number {
  const { config, weights, lora, context, answerShare, backwardShare = 1, full = false, answersLast = false } = shape;
  const first = lora.options.firstLayer ?? 0;
  const { experts } = config as { experts?: { count: number; perToken: number } };
  /** Of all tokens, those that meet a weight. */
  const share = (name: string) => {
    if (experts) return /\.experts\.\d+\./.test(name) ? experts.perToken / experts.count : 1;
    return answersLast && name.startsWith(`model.layers.${config.layers - 1}.mlp.`) ? answerShare : 1;
  };
  let products = 0;
  for (const [name, shape] of weights) {
    const layer = Number(name.match(/\.layers\.(\d+)\./)?.[1] ?? -1);
    if (shape.length === 2 && layer >= first) products += share(name) * shape[0] * shape[1];
  }
  let adapters = 0;
  if (!full)
    for (const { module, inputs, outputs } of lora.adapters)
      adapters += share(module) * lora.options.rank * (inputs + outputs);
  const attention = 2 * (config.layers - first) * config.hiddenSize * context;
  const head = answerShare * config.hiddenSize * config.vocabularySize;
  const both = 1 + 2 * backwardShare;
  const passes = full ? both : 1 + backwardShare;
  return 2 * (passes * products + both * (adapters + attention) + (full ? 3 : 2) * head);
}
