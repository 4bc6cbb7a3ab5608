// Layer sampling after LISA (Pan et al., 2024): only a few layers are trained at a time, and the backward pass ends at the first.
import { Random } from '../base/random.ts';
import type { Range } from './loop.ts';
import type { Adapter, LoraLayout } from './lora.ts';

/** Neighbouring layers, first to last, that are trained at the same time. */
export interface LayerWindow {
  readonly first: number;
  readonly last: number;
  /** Their part of theta. */
  readonly range: Range;
  /** Of that part alone. */
  readonly layout: LoraLayout;
}

/**
 * Windows of `perWindow` layers, the lowest perhaps smaller. LISA draws single layers; here they are neighbours, because the
 * backward pass must come down to the lowest one that is trained: windows make it half as long on average, single layers would not.
 */
export function layerWindows(lora: LoraLayout, perWindow: number): readonly LayerWindow[] {
  const layers = [...new Set(lora.adapters.map(layerOf))].sort((a, b) => a - b);
  const windows: LayerWindow[] = [];
  for (let end = layers.length; end > 0; end -= perWindow) {
    windows.unshift(windowOf(lora, layers[Math.max(0, end - perWindow)], layers[end - 1]));
  }
  return windows;
}

function layerOf({ module }: Adapter): number {
  return Number(module.match(/\.layers\.(\d+)\./)?.[1] ?? 0);
}

function windowOf({ options, adapters }: LoraLayout, first: number, last: number): LayerWindow {
  const own = adapters.filter((adapter) => layerOf(adapter) >= first && layerOf(adapter) <= last);
  const start = own[0].a;
  const { b, outputs } = own.at(-1)!;
  const end = b + options.rank * outputs;
  const moved = own.map((adapter) => ({ ...adapter, a: adapter.a - start, b: adapter.b - start }));
  return { first, last, range: { start, end }, layout: { options, adapters: moved, size: end - start } };
}

/** The number of the window of a period: each comes once in so many periods as there are windows, in a seeded order. */
export function windowAt(count: number, period: number, seed: number): number {
  const round = Math.floor(period / count);
  const order = new Random(seed + 7919 * (round + 1)).shuffle(Array.from({ length: count }, (_, i) => i));
  return order[period % count];
}

/** Share of the model's layers that the backward pass goes through, on average over the windows. */
export function backwardShare(lora: LoraLayout, perWindow: number, layers: number): number {
  const windows = layerWindows(lora, perWindow);
  return windows.reduce((sum, { first }) => sum + (layers - first) / layers, 0) / windows.length;
}
