// Continuous batching: every step evaluates what each running answer has next and as much waiting prompt as fits beside them.
import type { Batch } from '../llama/batch.ts';
import type { LlamaContext } from '../llama/context.ts';
import type { Pointer } from '../llama/layout.ts';
import type { Generation } from './generation.ts';
import { chooseSequence } from './prefix.ts';
import { createSlots, releaseSlot, type Slot } from './slot.ts';

export interface SchedulerEvents {
  /** Something new of a generation, or its end. */
  progressed: (generation: Generation) => void;
  failed: (generation: Generation, error: unknown) => void;
}

export interface SchedulerSettings {
  vocabSize: number;
  sequences: number;
  /** Whether the cache can be cut back, so that drafts may be wrong. */
  canDraft: boolean;
  /** LoRA adapters by name. */
  adapters: ReadonlyMap<string, Pointer>;
}

/** With more answers than this in a batch the cores are busy anyway, and drafts only cost. */
const MOST_DRAFTING = 4;

/** Rows of logits of one slot. */
interface Rows {
  slot: Slot;
  first: number;
  count: number;
}

export class Scheduler {
  private readonly context: LlamaContext;
  private readonly batch: Batch;
  private readonly settings: SchedulerSettings;
  private readonly slots: Slot[];
  private readonly waiting: Generation[] = [];
  private readonly events: SchedulerEvents;
  private uses = 0;
  private adapter: string | undefined;

  constructor(context: LlamaContext, batch: Batch, settings: SchedulerSettings, events: SchedulerEvents) {
    this.context = context;
    this.batch = batch;
    this.settings = settings;
    this.events = events;
    this.slots = createSlots(settings.sequences);
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

  /** @returns false when the adapter is in use; otherwise what was cached with it is forgotten */
  forget(adapter: string): boolean {
    const inUse = [...this.waiting, ...this.slots.map((slot) => slot.generation)];
    if (inUse.some((generation) => generation?.request.adapter === adapter)) return false;
    for (const slot of this.slots) if (slot.adapter === adapter) this.clear(slot);
    return true;
  }

  /** Drops all that is cached; only while idle. */
  clearAll(): void {
    for (const slot of this.slots) this.clear(slot);
  }

  /** One decode call and what follows from its logits. */
  step(): void {
    this.admit();
    const active = this.slotsOfTurn();
    this.batch.clear();
    const rows: Rows[] = [];
    for (const slot of active) if (slot.next.length > 0) rows.push(this.addNext(slot));
    for (const slot of active) {
      const row = slot.prompt ? this.addPrompt(slot) : -1;
      if (row >= 0) rows.push({ slot, first: row, count: 1 });
    }
    if (this.batch.size === 0) return;
    this.context.decode(this.batch);
    if (rows.length === 0) return;
    const { vocabSize } = this.settings;
    const logits = this.context.logits(this.batch.outputs);
    for (const { slot, first, count } of rows) {
      const own = Array.from({ length: count }, (_, i) =>
        logits.subarray((first + i) * vocabSize, (first + i + 1) * vocabSize),
      );
      this.advance(slot, own, rows.length);
    }
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
      slot.adapter = generation.request.adapter;
      slot.busy = true;
      slot.lastUsed = ++this.uses;
      generation.cachedTokens = kept;
    }
  }

  /** A batch is evaluated with one adapter: those in use take turns. */
  private slotsOfTurn(): Slot[] {
    const busy = this.slots.filter((slot) => slot.busy);
    const inUse = [...new Set(busy.map((slot) => slot.adapter))];
    if (inUse.length === 0) return [];
    this.adapter = inUse[(inUse.indexOf(this.adapter) + 1) % inUse.length];
    this.context.useAdapter(this.adapter === undefined ? null : (this.settings.adapters.get(this.adapter) ?? null));
    return busy.filter((slot) => slot.adapter === this.adapter);
  }

  private addNext(slot: Slot): Rows {
    const known = slot.next.length - 1;
    const tokens = [...slot.next, ...slot.drafts];
    let first = -1;
    for (const [at, token] of tokens.entries()) {
      const row = this.batch.add(token, slot.cached.length, slot.sequence, at >= known);
      if (at === known) first = row;
      slot.cached.push(token);
    }
    slot.next = [];
    return { slot, first, count: tokens.length - known };
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

  private advance(slot: Slot, rows: Float32Array[], running: number): void {
    const generation = slot.generation!;
    const { drafts } = slot;
    const before = generation.accepted;
    try {
      slot.next = generation.advance(rows, drafts);
    } catch (error) {
      this.release(slot);
      this.events.failed(generation, error);
      return;
    }
    const wrong = drafts.length - (generation.accepted - before);
    if (wrong > 0) {
      slot.cached.length -= wrong;
      this.context.cutBack(slot.sequence, slot.cached.length);
    }
    const room = Math.floor(this.batch.capacity / this.settings.sequences) - slot.next.length;
    slot.drafts =
      this.settings.canDraft && running <= MOST_DRAFTING ? generation.propose().slice(0, Math.max(0, room)) : [];
    if (generation.finish) this.release(slot);
    this.events.progressed(generation);
  }

  private release(slot: Slot): void {
    releaseSlot(slot);
  }

  private clear(slot: Slot): void {
    this.context.cutBack(slot.sequence, 0);
    slot.cached = [];
    slot.adapter = undefined;
  }
}
