// AdamW whose moments take 8 bits each, in blocks with a scale of their own (Dettmers et al., 2022).
import { ADAMW, type AdamWOptions, factorsOf } from './adamw.ts';
import { ALONE, type Crew } from './crew.ts';
import { BLOCK, SIGNED, UNSIGNED } from './dynamic-code.ts';
import type { Optimiser } from './optimiser.ts';

/** 256 numbers in a byte each, times the largest of their block. */
class Moment {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;

  constructor(size: number, zero: number) {
    // whole words, so that a checkpoint can see them as an array of 32-bit numbers
    this.codes = new Uint8Array(4 * Math.ceil(size / 4)).fill(zero);
    this.scales = new Float32Array(Math.ceil(size / BLOCK));
  }

  get words(): Float32Array {
    return new Float32Array(this.codes.buffer);
  }

  restore(words: Float32Array | undefined, scales: Float32Array | undefined): boolean {
    if (words?.byteLength !== this.codes.length || scales?.length !== this.scales.length) return false;
    this.codes.set(new Uint8Array(words.buffer, words.byteOffset, words.byteLength));
    this.scales.set(scales);
    return true;
  }
}

export class AdamW8bit implements Optimiser {
  readonly #crew: Crew;
  readonly #first: Moment;
  readonly #second: Moment;
  readonly #options: AdamWOptions;
  #updates = 0;

  constructor(size: number, options: Partial<AdamWOptions> = {}, crew: Crew = ALONE) {
    this.#crew = crew;
    this.#first = new Moment(size, SIGNED.encode(0));
    this.#second = new Moment(size, UNSIGNED.encode(0));
    this.#options = { ...ADAMW, ...options };
  }

  update(weights: Float32Array, gradient: Float32Array, rate: number, norm: number): void {
    this.#updates++;
    const factors = factorsOf(this.#options, this.#updates, rate, norm);
    const [first, second] = [this.#first, this.#second];
    const arrays = [weights, gradient, first.codes, second.codes, first.scales, second.scales];
    this.#crew.run({ kernel: 'adamw8bit', arrays, factors });
  }

  state() {
    return {
      firstCodes: this.#first.words,
      firstScales: this.#first.scales,
      secondCodes: this.#second.words,
      secondScales: this.#second.scales,
      updates: Float32Array.of(this.#updates),
    };
  }

  restore(state: Readonly<Record<string, Float32Array>>): boolean {
    const { firstCodes, firstScales, secondCodes, secondScales, updates } = state;
    if (!updates || !this.#first.restore(firstCodes, firstScales)) return false;
    if (!this.#second.restore(secondCodes, secondScales)) return false;
    this.#updates = updates[0];
    return true;
  }
}
