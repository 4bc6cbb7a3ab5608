// The peak learning rate that a training takes unless one is given.
import type { ModelConfig, ModelFamily } from '../models/model.ts';
import type { OptimiserName } from '../train/optimiser.ts';
import { DISTILL_DEFAULTS } from './options.ts';

/** Of adapters' rate, in a model as wide as SmolLM2-135M; see "Learning rates" in ARCHITECTURE.md. */
const FULL = { share: 0.2, width: 576 };
/** Lion moves every number by the whole rate (Chen et al., 2023: a tenth to a third of AdamW's). */
const LION = 0.1;

/**
 * Where every weight is trained, wider models take smaller steps, as what a row adds up grows with its length (Yang et al., 2022: µP);
 * adapters' rows are as long as their rank in all models.
 */
export function usualRate(
  { rateShare = 1 }: Pick<ModelFamily, 'rateShare'>,
  { hiddenSize }: Pick<ModelConfig, 'hiddenSize'>,
  full?: boolean,
  optimiser?: OptimiserName,
): number {
  const share = full ? FULL.share * Math.min(1, FULL.width / hiddenSize) : 1;
  return DISTILL_DEFAULTS.learningRate * share * (optimiser === 'lion' ? LION : 1) * rateShare;
}
