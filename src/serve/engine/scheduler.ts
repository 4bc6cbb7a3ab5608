// Continuous batching: every step evaluates one token of each running answer and as much waiting prompt as fits beside them.
import type { Batch } from '../llama/batch.ts';
import type { LlamaContext } from '../llama/context.ts';
import type { Generation } from './generation.ts';
import { chooseSequence, type SequenceState } from './prefix.ts';

/** A sequence of the KV cache and what it is busy with. */
interface Slot extends SequenceState {
  cached: number[];
  adapter: string | undefined;
  busy: boolean;
  prompt: readonly number[] | undefined;
  lastUsed: number;
  generation: Generation | undefined;
  /** The token to evaluate next, taken from the last logits. */
  next: number | undefined;
}

export interface SchedulerEvents {
  /** Something new of a generation, or its end. */
  progressed: (generation: Generation) => void;
}

export class Scheduler {
  private readonly context: LlamaContext;
  private readonly batch: Batch;
  private readonly vocabSize: number;
  private readonly slots: Slot[];
  private readonly waiting: Generation[] = [];
  private readonly events: SchedulerEvents;
  private uses = 0;

  constructor(context: LlamaContext, batch: Batch, vocabSize: number, sequences: number, events: SchedulerEvents) {
    this.context = context;
    this.batch = batch;
    this.vocabSize = vocabSize;
    this.events = events;
    this.slots = Array.from({ length: sequences }, (_, sequence) => ({
      sequence,
      cached: [],
      adapter: undefined,
      busy: false,
      prompt: undefined,
      lastUsed: 0,
      generation: undefined,
      next: undefined,
    }));
  }

  get idle(): boolean {
    return this.waiting.length === 0 && this.slots.every((slot) => !slot.busy);
  }

  add(generation: Generation): void {
    this.waiting.push(generation);
  }

  /** Drops a generation that nobody waits for. */
  cancel(id: number): void {
    const at = this.waiting.findIndex((generation) => generation.id === id);
    if (at >= 0) this.waiting.splice(at, 1)[0].sampler.free();
    for (const slot of this.slots) if (slot.generation?.id === id) this.release(slot);
  }

  /** One decode call and what follows from its logits. */
  step(): void {
    this.admit();
    this.batch.clear();
    const rows: [slot: Slot, row: number][] = [];
    for (const slot of this.slots) if (slot.next !== undefined) rows.push([slot, this.addNext(slot)]);
    for (const slot of this.slots) {
      const row = slot.prompt ? this.addPrompt(slot) : -1;
      if (row >= 0) rows.push([slot, row]);
    }
    if (this.batch.size === 0) return;
    this.context.decode(this.batch);
    if (rows.length === 0) return;
    const logits = this.context.logits(this.batch.outputs);
    for (const [slot, row] of rows)
      this.advance(slot, logits.subarray(row * this.vocabSize, (row + 1) * this.vocabSize));
  }

  /** Gives waiting prompts to free sequences, the one with the longest cached prefix first. */
  private admit(): void {
    for (let at = 0; at < this.waiting.length; ) {
      const generation = this.waiting[at];
      const choice = chooseSequence(generation.prompt, generation.request.adapter, this.slots);
      if (choice === 'full') return;
      if (choice === 'wait') {
        at++;
        continue;
      }
      this.waiting.splice(at, 1);
      const slot = this.slots[choice.sequence];
      if (choice.copyFrom !== undefined && choice.copyFrom !== choice.sequence) {
        this.context.cutBack(slot.sequence, 0);
        this.context.copySequence(choice.copyFrom, slot.sequence);
      }
      const kept = this.context.cutBack(slot.sequence, choice.reuse);
      slot.cached = generation.prompt.slice(0, kept);
      slot.prompt = generation.prompt;
      slot.generation = generation;
      slot.busy = true;
      slot.lastUsed = ++this.uses;
      generation.cachedTokens = kept;
    }
  }

  private addNext(slot: Slot): number {
    const row = this.batch.add(slot.next!, slot.cached.length, slot.sequence, true);
    slot.cached.push(slot.next!);
    slot.next = undefined;
    return row;
  }

  /** Adds what fits of a prompt. @returns the row of its last token's logits, or -1 while there is more to evaluate */
  private addPrompt(slot: Slot): number {
    const prompt = slot.prompt!;
    const room = this.batch.capacity - this.batch.size;
    const end = Math.min(prompt.length, slot.cached.length + room);
    let row = -1;
    for (let at = slot.cached.length; at < end; at++) {
      const last = at === prompt.length - 1;
      row = this.batch.add(prompt[at], at, slot.sequence, last);
      slot.cached.push(prompt[at]);
    }
    if (end < prompt.length) return -1;
    slot.prompt = undefined;
    return row;
  }

  private advance(slot: Slot, logits: Float32Array): void {
    const generation = slot.generation!;
    slot.next = generation.take(logits);
    if (generation.finish) this.release(slot);
    this.events.progressed(generation);
  }

  private release(slot: Slot): void {
    slot.generation?.sampler.free();
    slot.generation = undefined;
    slot.prompt = undefined;
    slot.next = undefined;
    slot.busy = false;
  }
}
