// Selective token loss after Rho-1 (Lin et al., 2024): each batch trains on the answer tokens with the highest excess loss only.
import type { Batch } from './packing.ts';

/** Share of what is known of an id that stays when another of its tokens is seen. */
const KEPT = 0.8;
/** Nats; what counts as the loss of an id that was not seen yet: more than that of a guess among all words. */
const UNSEEN = 16;

/**
 * Excess loss: the loss of a token minus that of a reference model, which Rho-1 trains on text of the wanted kind. Answers here are the
 * teacher's own, which it would give again: its loss on them counts as nothing, so the excess is the loss. Rho-1 computes it
 * afresh for each batch, which saves nothing; here tokens that are not chosen do not meet the vocabulary at all, and most answers are
 * seen for the first time. So a token's loss is taken to be that of others with its id of late: chosen ones improve and fall
 * behind, which brings every id its turn. (The base model's losses, computed beforehand, took most of a short budget, and what it
 * knew best, such as the end of an answer, was never chosen.)
 */
export class TokenSelection {
  /** Loss of the answer tokens with an id, as of late: part of a checkpoint. */
  readonly memory: Float32Array;
  readonly #share: number;

  /** @param share chosen of a batch, 0 to 1 */
  constructor(vocabularySize: number, share: number) {
    this.memory = new Float32Array(vocabularySize).fill(UNSEEN);
    this.#share = share;
  }

  /** The batch without the tokens that were not chosen, in its order. */
  select(batch: Batch): Batch {
    const { targets, weights } = batch;
    const loss = (at: number) => this.memory[targets[at]];
    const ranked = [...targets.keys()].sort((a, b) => loss(b) - loss(a) || a - b);
    const kept = ranked.slice(0, Math.max(1, Math.ceil(this.#share * targets.length))).sort((a, b) => a - b);
    const sum = kept.reduce((total, at) => total + weights[at], 0);
    const take = (from: Int32Array) => Int32Array.from(kept, (at) => from[at]);
    return {
      ...batch,
      lossAt: take(batch.lossAt),
      targets: take(targets),
      weights: Float32Array.from(kept, (at) => weights[at] / sum),
      weight: batch.weight * sum,
    };
  }

  /** @param targets of the chosen tokens; @param nll their losses */
  remember(targets: Int32Array, nll: Float32Array): void {
    targets.forEach((id, i) => {
      this.memory[id] = KEPT * this.memory[id] + (1 - KEPT) * nll[i];
    });
  }
}
