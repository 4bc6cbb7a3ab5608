// A sequence of the KV cache and what it is busy with.
import type { Generation } from './generation.ts';
import type { SequenceState } from './prefix.ts';

export interface Slot extends SequenceState {
  cached: number[];
  adapter: string | undefined;
  busy: boolean;
  prompt: readonly number[] | undefined;
  lastUsed: number;
  generation: Generation | undefined;
  /** Tokens to evaluate next, taken from the last logits. */
  next: number[];
  /** Guesses of what follows them. */
  drafts: number[];
  /** Tokens it may come to hold; an answer that grows longer goes on elsewhere. */
  limit: number;
}

export function createSlots(count: number): Slot[] {
  return Array.from({ length: count }, (_, sequence) => ({
    sequence,
    cached: [],
    adapter: undefined,
    busy: false,
    prompt: undefined,
    lastUsed: 0,
    generation: undefined,
    next: [],
    drafts: [],
    limit: Number.POSITIVE_INFINITY,
  }));
}

/** Puts a generation on a slot whose cache holds the first `kept` of its tokens. */
export function occupySlot(slot: Slot, generation: Generation, kept: number, use: number): void {
  slot.cached = generation.pending.slice(0, kept);
  slot.prompt = generation.pending;
  slot.generation = generation;
  slot.adapter = generation.request.adapter;
  slot.busy = true;
  slot.lastUsed = use;
  if (generation.pending === generation.prompt) generation.cachedTokens = kept;
}

/** Frees the slot; what it holds in the cache stays as it is. */
export function releaseSlot(slot: Slot): void {
  slot.generation = undefined;
  slot.prompt = undefined;
  slot.next = [];
  slot.drafts = [];
  slot.busy = false;
}
