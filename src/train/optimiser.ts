// What an optimiser is, and which there are: AdamW, AdamW with moments of 8 bits, Lion.
import { AdamW } from './adamw.ts';
import { AdamW8bit } from './adamw-8bit.ts';
import { Lion } from './lion.ts';

/** Moves weights along a gradient. What it remembers lies in flat arrays, which a checkpoint saves and gives back bit by bit. */
export interface Optimiser {
  /** Updates `weights` in place. @param norm `globalNorm(gradient)`; a longer gradient than the most allowed is scaled down */
  update(weights: Float32Array, gradient: Float32Array, rate: number, norm: number): void;
  /** Shares memory with the optimiser where it can: to be written at once, not kept. */
  state(): Readonly<Record<string, Float32Array>>;
  /** Goes on from what `state` gave. Returns false, and changes nothing, for the state of another optimiser or size. */
  restore(state: Readonly<Record<string, Float32Array>>): boolean;
}

export const OPTIMISERS = ['adamw', 'adamw8bit', 'lion'] as const;
export type OptimiserName = (typeof OPTIMISERS)[number];

const MAKERS: Record<OptimiserName, (size: number) => Optimiser> = {
  adamw: (size) => new AdamW(size),
  adamw8bit: (size) => new AdamW8bit(size),
  lion: (size) => new Lion(size),
};

/** Bytes that an optimiser remembers for each weight. */
export const STATE_BYTES: Record<OptimiserName, number> = { adamw: 8, adamw8bit: 2.04, lion: 4 };

export function makeOptimiser(name: OptimiserName, size: number): Optimiser {
  return MAKERS[name](size);
}

/** The Euclidean norm of a gradient; NaN or infinite when an element is. */
export function globalNorm(gradient: Float32Array): number {
  // four sums: one would wait for itself
  let [a, b, c, d] = [0, 0, 0, 0];
  const whole = gradient.length - (gradient.length % 4);
  for (let i = 0; i < whole; i += 4) {
    a += gradient[i] * gradient[i];
    b += gradient[i + 1] * gradient[i + 1];
    c += gradient[i + 2] * gradient[i + 2];
    d += gradient[i + 3] * gradient[i + 3];
  }
  for (let i = whole; i < gradient.length; i++) a += gradient[i] * gradient[i];
  return Math.sqrt(a + b + c + d);
}
