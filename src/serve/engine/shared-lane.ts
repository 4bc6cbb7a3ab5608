// A second context beside that with a cache for each sequence: one cache for all, for answers that stand on a common prefix.
import { CupelError } from '../../base/errors.ts';
import type { Batch } from '../llama/batch.ts';
import { LlamaContext } from '../llama/context.ts';
import type { Llama } from '../llama/library.ts';
import type { LlamaModel } from '../llama/model.ts';
import type { Generation } from './generation.ts';
import { Scheduler, type SchedulerEvents, type SchedulerSettings } from './scheduler.ts';
import { ANCHORS, ANSWER_ROOM, LEAST_SHARED, MOST_OWN, SharedPlaces } from './shared-places.ts';
import { sharedSize } from './shared-size.ts';

/** Rows of logits of one decode beside one for each answer: drafts to check. */
const MORE_OUTPUTS = 32;

interface LaneSettings {
  llama: Llama;
  model: LlamaModel;
  batch: Batch;
  threads: number;
  contextTokens: number;
  parallel: number;
}

/** Whether it is a prompt with a long known beginning and little more. */
export function isSharing({ prompt, sharedPrefix }: Generation): boolean {
  return sharedPrefix >= LEAST_SHARED && prompt.length - sharedPrefix <= MOST_OWN;
}

export class SharedLane {
  readonly scheduler: Scheduler;
  private readonly context: LlamaContext;
  private readonly cells: number;

  /** Null on GPUs, where it was not measured, for recurrent states, which cannot be shared, and without memory for it. */
  static open(lane: LaneSettings, settings: SchedulerSettings, events: SchedulerEvents): SharedLane | null {
    const { llama, model, contextTokens, parallel } = lane;
    const size = sharedSize(contextTokens, parallel);
    if (llama.libraries.gpu || !model.canCutBack || !size) return null;
    try {
      return new SharedLane(lane, size, settings, events);
    } catch (error) {
      if (error instanceof CupelError) return null;
      throw error;
    }
  }

  private constructor(
    { llama, model, batch, threads, contextTokens }: LaneSettings,
    { answers, cells }: { answers: number; cells: number },
    settings: SchedulerSettings,
    events: SchedulerEvents,
  ) {
    this.cells = cells;
    const sequences = answers + ANCHORS;
    this.context = new LlamaContext(llama, model, {
      contextTokens,
      sequences,
      sharedTokens: this.cells,
      threads,
      batchTokens: batch.capacity,
      outputs: answers + MORE_OUTPUTS,
    });
    this.scheduler = new Scheduler(
      this.context,
      batch,
      new SharedPlaces(this.context, answers, this.cells),
      settings,
      events,
    );
  }

  takes(generation: Generation): boolean {
    return isSharing(generation) && generation.prompt.length + ANSWER_ROOM <= this.cells;
  }

  free(): void {
    this.context.free();
  }
}
