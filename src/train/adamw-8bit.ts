// AdamW whose moments take 8 bits each, in blocks with a scale of their own (Dettmers et al., 2022).
import { ADAMW, type AdamWOptions } from './adamw.ts';
import { dynamicCode } from './dynamic-code.ts';
import type { Optimiser } from './optimiser.ts';

/** Numbers that share a scale: an outlier costs precision to its own block only. */
export const BLOCK = 256;

const SIGNED = dynamicCode(true);
const UNSIGNED = dynamicCode(false);

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
  readonly #first: Moment;
  readonly #second: Moment;
  readonly #options: AdamWOptions;
  readonly #m = new Float32Array(BLOCK);
  readonly #v = new Float32Array(BLOCK);
  #updates = 0;

  constructor(size: number, options: Partial<AdamWOptions> = {}) {
    this.#first = new Moment(size, SIGNED.encode(0));
    this.#second = new Moment(size, UNSIGNED.encode(0));
    this.#options = { ...ADAMW, ...options };
  }

  update(weights: Float32Array, gradient: Float32Array, rate: number, norm: number): void {
    const { maxNorm } = this.#options;
    const clip = norm > maxNorm ? maxNorm / norm : 1;
    this.#updates++;
    for (let block = 0; block * BLOCK < weights.length; block++) {
      const start = block * BLOCK;
      const end = Math.min(weights.length, start + BLOCK);
      this.#updateBlock(block, weights.subarray(start, end), gradient.subarray(start, end), rate, clip);
    }
  }

  #updateBlock(block: number, weights: Float32Array, gradient: Float32Array, rate: number, clip: number): void {
    const { beta1, beta2, epsilon, weightDecay } = this.#options;
    const step = rate / (1 - beta1 ** this.#updates);
    const correction = 1 / Math.sqrt(1 - beta2 ** this.#updates);
    const keep = 1 - rate * weightDecay;
    const start = block * BLOCK;
    const m = this.#m;
    const v = this.#v;
    const firstScale = this.#first.scales[block];
    const secondScale = this.#second.scales[block];
    let largestM = 0;
    let largestV = 0;
    for (let i = 0; i < weights.length; i++) {
      const g = gradient[i] * clip;
      m[i] = beta1 * SIGNED.values[this.#first.codes[start + i]] * firstScale + (1 - beta1) * g;
      v[i] = beta2 * UNSIGNED.values[this.#second.codes[start + i]] * secondScale + (1 - beta2) * g * g;
      weights[i] = weights[i] * keep - (step * m[i]) / (Math.sqrt(v[i]) * correction + epsilon);
      largestM = Math.max(largestM, Math.abs(m[i]));
      largestV = Math.max(largestV, v[i]);
    }
    this.#first.scales[block] = largestM;
    this.#second.scales[block] = largestV;
    for (let i = 0; i < weights.length; i++) {
      this.#first.codes[start + i] = SIGNED.encode(largestM > 0 ? m[i] / largestM : 0);
      this.#second.codes[start + i] = UNSIGNED.encode(largestV > 0 ? v[i] / largestV : 0);
    }
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
