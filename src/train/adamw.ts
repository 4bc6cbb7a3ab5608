// AdamW on flat arrays (Loshchilov and Hutter, 2019), with clipping by the global norm.
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

export class AdamW implements Optimiser {
  readonly #first: Float32Array;
  readonly #second: Float32Array;
  readonly #options: AdamWOptions;
  #updates = 0;

  constructor(size: number, options: Partial<AdamWOptions> = {}) {
    this.#first = new Float32Array(size);
    this.#second = new Float32Array(size);
    this.#options = { ...ADAMW, ...options };
  }

  update(weights: Float32Array, gradient: Float32Array, rate: number, norm: number): void {
    const { beta1, beta2, epsilon, weightDecay, maxNorm } = this.#options;
    const first = this.#first;
    const second = this.#second;
    this.#updates++;
    const clip = norm > maxNorm ? maxNorm / norm : 1;
    const step = rate / (1 - beta1 ** this.#updates);
    const correction = 1 / Math.sqrt(1 - beta2 ** this.#updates);
    const keep = 1 - rate * weightDecay;
    for (let i = 0; i < weights.length; i++) {
      const g = gradient[i] * clip;
      const m = beta1 * first[i] + (1 - beta1) * g;
      const v = beta2 * second[i] + (1 - beta2) * g * g;
      first[i] = m;
      second[i] = v;
      weights[i] = weights[i] * keep - (step * m) / (Math.sqrt(v) * correction + epsilon);
    }
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
