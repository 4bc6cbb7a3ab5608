// Continuous batching: every step evaluates what each running answer has next and as much waiting prompt as fits beside them.
import type { Batch } from '../llama/batch.ts';
import type { LlamaContext } from '../llama/context.ts';
import type { Pointer } from '../llama/layout.ts';
import { Gathering } from './gather.ts';
import type { Generation } from './generation.ts';
import type { Places } from './places.ts';
import { releaseSlot, type Slot } from './slot.ts';

export interface SchedulerEvents {
  /** Something new of a generation, or its end. */
  progressed: (generation: Generation) => void;
  failed: (generation: Generation, error: unknown) => void;
  /** It has outgrown its place: `pending` is what it has so far. */
  outgrown: (generation: Generation) => void;
}

export interface SchedulerSettings {
  vocabSize: number;
  /** Whether the cache can be cut back, so that drafts may be wrong. */
  canDraft: boolean;
  /** Drafts that one decode may check, of all answers together. */
  drafts: number;
  /** LoRA adapters by name. */
  adapters: ReadonlyMap<string, Pointer>;
}

/** With more answers than this in a batch the cores are busy anyway, and even drafts that are nearly always right only cost. */
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
  private readonly places: Places;
  private readonly waiting: Generation[] = [];
  private readonly events: SchedulerEvents;
  private readonly gathering = new Gathering();
  private adapter: string | undefined;

  constructor(
    context: LlamaContext,
    batch: Batch,
    places: Places,
    settings: SchedulerSettings,
    events: SchedulerEvents,
  ) {
    this.context = context;
    this.batch = batch;
    this.places = places;
    this.settings = settings;
    this.events = events;
  }

  private get slots(): readonly Slot[] {
    return this.places.slots;
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
    for (const slot of this.slots) if (slot.generation?.id === id) this.end(slot);
  }

  /** Whether an adapter is needed by what runs or waits. */
  uses(adapter: string): boolean {
    const inUse = [...this.waiting, ...this.slots.map((slot) => slot.generation)];
    const evaluating = this.slots.some((slot) => slot.busy && slot.adapter === adapter);
    return evaluating || inUse.some((generation) => generation?.request.adapter === adapter);
  }

  /** Drops an adapter that is not in use, and what was cached with it. */
  forget(adapter: string): void {
    for (const slot of this.slots) if (slot.adapter === adapter) this.clear(slot);
    this.context.useAdapter(null);
  }

  /** Drops all that is cached; only while idle. */
  clearAll(): void {
    for (const slot of this.slots) this.clear(slot);
  }

  /** One decode call and what follows from its logits. */
  step(): void {
    if (!this.holdsBack()) this.admit();
    const active = this.slotsOfTurn();
    this.batch.clear();
    const rows: Rows[] = [];
    // an answer in the making comes before prompts; but llama.cpp evaluates sequences together only in ascending order
    let room = this.batch.capacity - active.reduce((sum, slot) => sum + slot.next.length + slot.drafts.length, 0);
    for (const slot of active) {
      if (slot.next.length > 0) rows.push(this.addNext(slot));
      else if (slot.prompt) {
        const before = this.batch.size;
        const row = this.addPrompt(slot, room);
        room -= this.batch.size - before;
        if (row >= 0) rows.push({ slot, first: row, count: 1 });
      }
    }
    if (this.batch.size === 0) return;
    this.context.decode(this.batch);
    if (rows.length === 0) return;
    const { vocabSize } = this.settings;
    const logits = this.context.logits(this.batch.outputs);
    let ended = 0;
    for (const { slot, first, count } of rows) {
      const own = Array.from({ length: count }, (_, i) =>
        logits.subarray((first + i) * vocabSize, (first + i + 1) * vocabSize),
      );
      this.advance(slot, own, rows.length);
      if (!slot.busy) ended++;
    }
    this.gathering.stepped(ended, performance.now());
  }

  private holdsBack(): boolean {
    if (!this.places.shareOneCache) return false;
    const waiting = this.waiting.reduce((sum, { pending, sharedPrefix }) => sum + pending.length - sharedPrefix, 0);
    const running = this.slots.reduce((sum, { next, drafts, prompt, cached }) => {
      return sum + next.length + drafts.length + (prompt ? prompt.length - cached.length : 0);
    }, 0);
    return this.gathering.holds(waiting, running, performance.now());
  }

  /** Gives waiting prompts to free sequences, the one with the longest cached prefix first. */
  private admit(): void {
    for (let at = 0; at < this.waiting.length; ) {
      const placed = this.places.take(this.waiting[at]);
      if (placed === 'full') return;
      if (placed === 'wait') at++;
      else this.waiting.splice(at, 1);
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
  private addPrompt(slot: Slot, room: number): number {
    const prompt = slot.prompt!;
    const end = Math.min(prompt.length, slot.cached.length + room);
    let row = -1;
    for (let at = slot.cached.length; at < end; at++) {
      const last = at === prompt.length - 1 && slot.generation !== undefined;
      row = this.batch.add(prompt[at], at, slot.sequence, last);
      slot.cached.push(prompt[at]);
    }
    if (end < prompt.length) return -1;
    slot.prompt = undefined;
    if (!slot.generation) slot.busy = false;
    return row;
  }

  private advance(slot: Slot, rows: Float32Array[], running: number): void {
    const generation = slot.generation!;
    const { drafts } = slot;
    const before = generation.accepted;
    try {
      slot.next = generation.advance(rows, drafts);
    } catch (error) {
      this.end(slot);
      this.events.failed(generation, error);
      return;
    }
    const wrong = drafts.length - (generation.accepted - before);
    if (wrong > 0) {
      slot.cached.length -= wrong;
      this.context.cutBack(slot.sequence, slot.cached.length);
    }
    if (generation.finish) this.end(slot);
    else if (slot.cached.length + slot.next.length > slot.limit) this.moveOut(slot);
    else slot.drafts = this.draftsOf(slot, running);
    this.events.progressed(generation);
  }

  private draftsOf(slot: Slot, running: number): number[] {
    slot.drafts = [];
    const { canDraft, drafts } = this.settings;
    if (!canDraft || running > MOST_DRAFTING) return [];
    const share = Math.floor(this.batch.capacity / this.slots.length) - slot.next.length;
    const room = Math.min(share, slot.limit - slot.cached.length - slot.next.length, Math.floor(drafts / running));
    return slot.generation!.propose(Math.max(0, room));
  }

  private moveOut(slot: Slot): void {
    const generation = slot.generation!;
    generation.pending = [...slot.cached, ...slot.next];
    this.vacate(slot);
    this.events.outgrown(generation);
  }

  private end(slot: Slot): void {
    slot.generation?.sampler.free();
    this.vacate(slot);
  }

  private vacate(slot: Slot): void {
    releaseSlot(slot);
    this.places.left(slot);
  }

  private clear(slot: Slot): void {
    this.context.cutBack(slot.sequence, 0);
    slot.cached = [];
    slot.adapter = undefined;
  }
}
