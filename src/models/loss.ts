// From hidden states to logits and to the loss, at chosen positions only.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import { flatten } from '../graph/ops/matmul.ts';
import type { ModelConfig, ModelFamily, Weights } from './model.ts';

/** Logits [A,V] of hidden states [A,D]. */
export function logitsOf<C extends ModelConfig>(
  b: Builder,
  family: ModelFamily<C>,
  config: C,
  weights: Weights,
  hidden_AD: Value,
): Value {
  const { weight, softCap } = family.head(config);
  const shape = [config.vocabularySize, config.hiddenSize] as const;
  const logits =
    weights.product?.(hidden_AD, weight, shape) ?? b.matmul(hidden_AD, weights.weight(weight, shape), { transB: true });
  return softCap === null ? logits : b.scale(b.tanh(b.scale(logits, 1 / softCap)), softCap);
}

/** A vocabulary of more words than this meets the hidden states in parts. */
export const WHOLE_VOCABULARY = 65_536;
const PART = 16_384;

/**
 * Negative log likelihoods [A] of targets [A] for hidden states [A,D], and the largest log probabilities [A]; with a vocabulary
 * beyond 65,536 words no array of positions times vocabulary is ever made.
 */
export function tokenLoss<C extends ModelConfig>(
  b: Builder,
  family: ModelFamily<C>,
  config: C,
  weights: Weights,
  hidden_AD: Value,
  targets: Value,
): { readonly loss: Value; readonly best: Value } {
  const { vocabularySize: V, hiddenSize: D } = config;
  if (V > WHOLE_VOCABULARY) {
    const { weight, softCap } = family.head(config);
    return b.linearCrossEntropy(hidden_AD, weights.weight(weight, [V, D]), targets, PART, softCap);
  }
  const [loss, logp] = b.emit('crossEntropy', [logitsOf(b, family, config, weights, hidden_AD), targets], {});
  return { loss, best: b.reduceMax(logp, [-1]) };
}

/** Where loss is taken: all [A]; `rows` are places in the batch read row by row (b * S + s). */
export interface LossInputs {
  readonly rows: Value;
  readonly targets: Value;
  /** Factor of each position's loss; 1/A for a mean. */
  readonly weights: Value;
}

/** Declares the inputs `lossIndex`, `targets` (int64 [A]) and `lossWeight` (float32 [A]). */
export function lossInputs(b: Builder): LossInputs {
  return {
    rows: b.input('lossIndex', 'int64', ['A']),
    targets: b.input('targets', 'int64', ['A']),
    weights: b.input('lossWeight', 'float32', ['A']),
  };
}

/** The weighted sum of the cross entropies at the chosen positions, a scalar. */
export function languageLoss<C extends ModelConfig>(
  b: Builder,
  family: ModelFamily<C>,
  config: C,
  weights: Weights,
  hidden_BSD: Value,
  where: LossInputs,
): Value {
  const hidden_AD = b.gather(flatten(b, hidden_BSD), where.rows);
  const { loss } = tokenLoss(b, family, config, weights, hidden_AD, where.targets);
  return b.reduceSum(b.mul(loss, where.weights), [0]);
}

/** Declares the inputs `ids`, `positions` and `segments`, int64 [B,S]; sizes default to symbols. */
export function modelInputs(b: Builder, batch: number | string = 'B', length: number | string = 'S') {
  const input = (name: string) => b.input(name, 'int64', [batch, length]);
  return { ids: input('ids'), positions: input('positions'), segments: input('segments') };
}
