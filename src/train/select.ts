// Selective token loss after Rho-1 (Lin et al., 2024): each batch trains on the answer tokens with the highest excess loss only.
import type { Batch } from './packing.ts';
import { answerTokens, type Sample } from './sample.ts';

/** A batch without the tokens that were not chosen, and where the chosen ones are remembered. */
export interface Selected {
  readonly batch: Batch;
  readonly places: Int32Array;
}

/**
 * Excess loss: the loss last seen of a token minus that of a reference model, which Rho-1 trains on text of the wanted kind. Answers here
 * are the teacher's own, which it would give again: its loss on them counts as nothing, so the excess is the loss. (The base model
 * as the reference chose what it knew already: such a token cannot improve, and all others soon had.) Tokens that are not chosen do
 * not meet the vocabulary at all, so what is known of them ages; those chosen improve and fall behind them, which brings every token
 * its turn. Rho-1 computes all losses afresh for each batch instead, which saves nothing.
 */
export class TokenSelection {
  /** The loss last seen of each answer token, sample after sample: part of a checkpoint. */
  readonly memory: Float32Array;
  readonly #samples: readonly Sample[];
  readonly #starts: readonly number[];
  readonly #share: number;

  /** @param base losses of all answer tokens, sample after sample, under the base model; @param share chosen of a batch, 0 to 1 */
  constructor(samples: readonly Sample[], base: Float32Array, share: number) {
    this.#samples = samples;
    this.memory = base.slice();
    this.#starts = answerStarts(samples);
    this.#share = share;
  }

  /** Keeps the order of the batch. */
  select(batch: Batch): Selected {
    const places = answerPlaces(batch, this.#samples, this.#starts);
    const ranked = [...places.keys()].sort((a, b) => this.memory[places[b]] - this.memory[places[a]] || a - b);
    const kept = ranked.slice(0, Math.max(1, Math.ceil(this.#share * places.length))).sort((a, b) => a - b);
    const sum = kept.reduce((total, at) => total + batch.weights[at], 0);
    const take = (from: Int32Array) => Int32Array.from(kept, (at) => from[at]);
    return {
      places: take(places),
      batch: {
        ...batch,
        lossAt: take(batch.lossAt),
        targets: take(batch.targets),
        weights: Float32Array.from(kept, (at) => batch.weights[at] / sum),
        weight: batch.weight * sum,
      },
    };
  }

  /** @param nll losses of the chosen tokens */
  remember(places: Int32Array, nll: Float32Array): void {
    places.forEach((place, i) => {
      this.memory[place] = nll[i];
    });
  }
}

/** Where the answer tokens of each sample begin when all stand one after the other; the last entry is their number. */
export function answerStarts(samples: readonly Sample[]): readonly number[] {
  const starts = [0];
  for (const sample of samples) starts.push(starts.at(-1)! + answerTokens(sample));
  return starts;
}

/** The place of each position with loss of a batch among the answer tokens of all samples. */
export function answerPlaces(batch: Batch, samples: readonly Sample[], starts: readonly number[]): Int32Array {
  return Int32Array.from(
    batch.members.flatMap((index) => Array.from({ length: answerTokens(samples[index]) }, (_, i) => starts[index] + i)),
  );
}
