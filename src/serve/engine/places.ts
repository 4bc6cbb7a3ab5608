// Where a generation is evaluated: by default on a sequence with a cache of its own, the one that holds most of its prompt.
import type { LlamaContext } from '../llama/context.ts';
import type { Generation } from './generation.ts';
import { chooseSequence } from './prefix.ts';
import { createSlots, occupySlot, type Slot } from './slot.ts';

export interface Places {
  readonly slots: readonly Slot[];
  /** Whether all of a batch attends to one cache. */
  readonly shareOneCache: boolean;
  /** Puts a generation on a slot, unless it should wait for another prompt, or nothing is free. */
  take(generation: Generation): 'taken' | 'wait' | 'full';
  /** A slot was freed. */
  left(slot: Slot): void;
}

export class OwnCaches implements Places {
  readonly slots: Slot[];
  readonly shareOneCache = false;
  private readonly context: LlamaContext;
  private uses = 0;

  constructor(context: LlamaContext, sequences: number) {
    this.context = context;
    this.slots = createSlots(sequences);
  }

  take(generation: Generation): 'taken' | 'wait' | 'full' {
    const choice = chooseSequence(generation.pending, generation.request.adapter, this.slots);
    if (choice === 'full' || choice === 'wait') return choice;
    const slot = this.slots[choice.sequence];
    if (choice.copyFrom !== undefined && choice.copyFrom !== choice.sequence) {
      this.context.copySequence(choice.copyFrom, slot.sequence);
    }
    occupySlot(slot, generation, this.context.cutBack(slot.sequence, choice.reuse), ++this.uses);
    return 'taken';
  }

  /** What it holds stays for prompts that begin alike. */
  left(): void {}
}
