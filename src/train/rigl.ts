// Dynamic sparsity after RigL (Evci et al., 2020) on blocks of feed-forward channels: drop by magnitude, grow by gradient.
import type { WeightSource } from '../models/model.ts';
import type { Channels, Mask } from './channels.ts';
import { adaptedWeight, type LoraLayout } from './lora.ts';

/** Share of the active blocks that the first update exchanges; it falls with half a cosine to none. */
const FIRST_SHARE = 0.3;

/** One number for each block of each layer, [layers][blocks]. */
export type Scores = readonly Float32Array[];

export function largestBlocks(scores: Scores, kept: number): Mask {
  return scores.map((row) =>
    rank(row)
      .slice(0, kept)
      .sort((a, b) => a - b),
  );
}

/** Block numbers, the largest score first; of equal ones the lower number. */
function rank(row: Float32Array): number[] {
  return [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
}

/** Share of the active blocks that update `number` of `updates` (from 0) exchanges. */
export function exchangeShare(number: number, updates: number): number {
  return (FIRST_SHARE / 2) * (1 + Math.cos((Math.PI * number) / updates));
}

/** The active blocks of least magnitude give way to as many others with the largest gradients. */
export function exchange(mask: Mask, magnitude: Scores, gradient: Scores, share: number): Mask {
  return mask.map((active, layer) => {
    const on = new Set(active);
    const idle = rank(gradient[layer]).filter((block) => !on.has(block));
    const count = Math.min(Math.round(share * active.length), idle.length);
    const weakest = rank(magnitude[layer])
      .filter((block) => on.has(block))
      .slice(active.length - count);
    for (const block of weakest) on.delete(block);
    for (const block of idle.slice(0, count)) on.add(block);
    return [...on].sort((a, b) => a - b);
  });
}

/** ||up||·||down|| of each block, adapters added: a bound of what the block can contribute. */
export function magnitudes(
  weights: WeightSource,
  lora: LoraLayout,
  theta: Float32Array,
  { layers, blocks, size }: Channels,
): Scores {
  const norms = (module: string, channelsAreRows: boolean): Float32Array => {
    const values = adaptedWeight(weights.read(`${module}.weight`), module, lora, theta);
    const [rows, columns] = weights.shape(`${module}.weight`);
    const sums = new Float32Array(blocks);
    for (let row = 0; row < rows; row++) {
      for (let column = 0; column < columns; column++) {
        const channel = channelsAreRows ? row : column;
        sums[Math.floor(channel / size)] += values[row * columns + column] ** 2;
      }
    }
    return sums.map(Math.sqrt);
  };
  return Array.from({ length: layers }, (_, layer) => {
    const up = norms(`model.layers.${layer}.mlp.up_proj`, true);
    const down = norms(`model.layers.${layer}.mlp.down_proj`, false);
    return up.map((value, block) => value * down[block]);
  });
}

/** Squared norm of the gradient of each block's own adapter numbers (B of gate and up, A of down). */
export function gradientScores(lora: LoraLayout, gradient: Float32Array, { layers, blocks, size }: Channels): Scores {
  const scores = Array.from({ length: layers }, () => new Float32Array(blocks));
  for (const { module, a, b, inputs, outputs } of lora.adapters) {
    const found = module.match(/\.layers\.(\d+)\.mlp\.(gate|up|down)_proj$/);
    if (!found) continue;
    const [start, width] = found[2] === 'down' ? [a, inputs] : [b, outputs];
    const row = scores[Number(found[1])];
    for (let i = 0; i < lora.options.rank * width; i++) {
      row[Math.floor((i % width) / size)] += gradient[start + i] ** 2;
    }
  }
  return scores;
}
