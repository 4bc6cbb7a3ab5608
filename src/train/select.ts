// Selective token loss after Rho-1 (Lin et al., 2024): each batch trains on the answer tokens with the highest excess loss only.
import type { Batch } from './packing.ts';
import { answerTokens, type Sample } from './sample.ts';

/** A batch without the tokens that were not chosen, and where the chosen ones are remembered. */
export interface Selected {
  readonly batch: Batch;
  readonly places: Int32Array;
}

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
  /** Id of each answer token, sample after sample. */
  readonly #ids: Int32Array;
  readonly #samples: readonly Sample[];
  readonly #starts: readonly number[];
  readonly #share: number;

  /** @param share chosen of a batch, 0 to 1 */
  constructor(samples: readonly Sample[], share: number) {
    this.#samples = samples;
    this.#ids = Int32Array.from(
      samples.flatMap(({ ids, answers }) => answers.flatMap(({ start, end }) => [...ids.subarray(start, end)])),
    );
    this.memory = new Float32Array(this.#ids.reduce((most, id) => Math.max(most, id), 0) + 1).fill(UNSEEN);
    this.#starts = answerStarts(samples);
    this.#share = share;
  }

  /** Keeps the order of the batch. */
  select(batch: Batch): Selected {
    const places = answerPlaces(batch, this.#samples, this.#starts);
    const losses = Float32Array.from(places, (place) => this.memory[this.#ids[place]]);
    const ranked = [...places.keys()].sort((a, b) => losses[b] - losses[a] || a - b);
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
      const id = this.#ids[place];
      this.memory[id] = KEPT * this.memory[id] + (1 - KEPT) * nll[i];
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
