// AdamW on flat arrays (Loshchilov and Hutter, 2019), with clipping by the global norm.
import { alignedFloats } from '../runtime/aligned.ts';
import { ALONE, type Crew, occupy } from './crew.ts';
import type { Optimiser } from './optimiser.ts';

export interface AdamWOptions {
  readonly beta1: number;
  readonly beta2: number;
  readonly epsilon: number;
  readonly weightDecay: number;
  /** Gradients with a larger Euclidean norm are scaled down to it. */
  readonly maxNorm: number;
}

export const ADAMW: AdamWOptions = { beta1: 0.9, beta2: 0.99, epsilon: 1e-8, weightDecay: 0, maxNorm: 1 };

/** What update number `updates` takes beside the arrays, in the order of kernels.wat. */
export function factorsOf(
  { beta1, beta2, epsilon, weightDecay, maxNorm }: AdamWOptions,
  updates: number,
  rate: number,
  norm: number,
): number[] {
  const clip = norm > maxNorm ? maxNorm / norm : 1;
  const step = rate / (1 - beta1 ** updates);
  const correction = 1 / Math.sqrt(1 - beta2 ** updates);
  return [clip, beta1, 1 - beta1, beta2, 1 - beta2, step, correction, epsilon, 1 - rate * weightDecay];
}

export class AdamW implements Optimiser {
  readonly #crew: Crew;
  readonly #first: Float32Array;
  readonly #second: Float32Array;
  readonly #options: AdamWOptions;
  #updates = 0;

  constructor(size: number, options: Partial<AdamWOptions> = {}, crew: Crew = ALONE) {
    this.#crew = crew;
    this.#first = alignedFloats(size);
    this.#second = alignedFloats(size);
    this.#options = { ...ADAMW, ...options };
  }

  update(weights: Float32Array, gradient: Float32Array, rate: number, norm: number): void {
    if (this.#updates++ === 0) occupy(this.#first, this.#second);
    const factors = factorsOf(this.#options, this.#updates, rate, norm);
    this.#crew.run({ kernel: 'adamw', arrays: [weights, gradient, this.#first, this.#second], factors });
  }

  state() {
    return { first: this.#first, second: this.#second, updates: Float32Array.of(this.#updates) };
  }

  restore({ first, second, updates }: Readonly<Record<string, Float32Array>>): boolean {
    if (first?.length !== this.#first.length || second?.length !== this.#second.length || !updates) return false;
    this.#first.set(first);
    this.#second.set(second);
    this.#updates = updates[0];
    return true;
  }
}
