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
  }));
}

/** Frees the slot; what it holds in the cache stays for prompts that begin alike. */
export function releaseSlot(slot: Slot): void {
  slot.generation?.sampler.free();
  slot.generation = undefined;
  slot.prompt = undefined;
  slot.next = [];
  slot.drafts = [];
  slot.busy = false;
}
