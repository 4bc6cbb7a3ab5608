// Lion (Chen et al., 2023): the sign of an interpolated momentum; half of what AdamW remembers, and a rate about ten times smaller.
import { alignedFloats } from '../runtime/aligned.ts';
import { ALONE, type Crew, occupy } from './crew.ts';
import type { Optimiser } from './optimiser.ts';

export interface LionOptions {
  /** Share of the momentum in the direction of a step. */
  readonly beta1: number;
  /** Share of the momentum that is kept. */
  readonly beta2: number;
  readonly weightDecay: number;
  /** Gradients with a larger Euclidean norm are scaled down to it. */
  readonly maxNorm: number;
}

export const LION: LionOptions = { beta1: 0.9, beta2: 0.99, weightDecay: 0, maxNorm: 1 };

export class Lion implements Optimiser {
  readonly #crew: Crew;
  readonly #momentum: Float32Array;
  readonly #options: LionOptions;
  #fresh = true;

  constructor(size: number, options: Partial<LionOptions> = {}, crew: Crew = ALONE) {
    this.#crew = crew;
    this.#momentum = alignedFloats(size);
    this.#options = { ...LION, ...options };
  }

  update(weights: Float32Array, gradient: Float32Array, rate: number, norm: number): void {
    if (this.#fresh) occupy(this.#momentum);
    this.#fresh = false;
    const { beta1, beta2, weightDecay, maxNorm } = this.#options;
    const clip = norm > maxNorm ? maxNorm / norm : 1;
    const factors = [clip, beta1, 1 - beta1, beta2, 1 - beta2, rate, 1 - rate * weightDecay];
    this.#crew.run({ kernel: 'lion', arrays: [weights, gradient, this.#momentum], factors });
  }

  state() {
    return { momentum: this.#momentum };
  }

  restore({ momentum }: Readonly<Record<string, Float32Array>>): boolean {
    if (momentum?.length !== this.#momentum.length) return false;
    this.#momentum.set(momentum);
    this.#fresh = false;
    return true;
  }
}
