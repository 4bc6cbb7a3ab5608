// What an optimiser is, and which there are: AdamW, AdamW with moments of 8 bits, Lion.
import { AdamW } from './adamw.ts';
import { AdamW8bit } from './adamw-8bit.ts';
import { ALONE, type Crew } from './crew.ts';
import { CHUNK } from './kernels.ts';
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

const MAKERS: Record<OptimiserName, (size: number, crew?: Crew) => Optimiser> = {
  adamw: (size, crew) => new AdamW(size, {}, crew),
  adamw8bit: (size, crew) => new AdamW8bit(size, {}, crew),
  lion: (size, crew) => new Lion(size, {}, crew),
};

/** Bytes that an optimiser remembers for each weight. */
export const STATE_BYTES: Record<OptimiserName, number> = { adamw: 8, adamw8bit: 2.04, lion: 4 };

/** @param crew the threads that compute updates; default the caller's alone */
export function makeOptimiser(name: OptimiserName, size: number, crew?: Crew): Optimiser {
  return MAKERS[name](size, crew);
}

/** The Euclidean norm of a gradient, summed in float64; NaN or infinite when an element is. */
export function globalNorm(gradient: Float32Array, crew: Crew = ALONE): number {
  const sums = new Float64Array(Math.ceil(gradient.length / CHUNK));
  crew.run({ kernel: 'squares', arrays: [gradient, sums], factors: [] });
  return Math.sqrt(sums.reduce((total, sum) => total + sum, 0));
}
