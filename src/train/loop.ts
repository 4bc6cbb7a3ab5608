// The training loop: steps, schedule, validation, early stop, checkpoints, guards. What a step computes is passed in.
import { CupelError } from '../base/errors.ts';
import { alignedCopy } from '../runtime/aligned.ts';
import { type Plan, planSteps } from './budget.ts';
import { dropCheckpoint, loadCheckpoint, saveCheckpoint } from './checkpoint.ts';
import type { Crew } from './crew.ts';
import { CALM, fault, type GuardState, remember } from './guard.ts';
import { globalNorm, makeOptimiser, type Optimiser, type OptimiserName } from './optimiser.ts';
import { learningRate } from './schedule.ts';

export interface StepResult {
  readonly loss: number;
  /** May be reused by the next step. */
  readonly gradient: Float32Array;
  /** Of the gradient, where it was computed with it: `globalNorm`. */
  readonly norm?: number;
  /** Tokens computed, padding excluded. */
  readonly tokens: number;
  /** Sum of the weights of the losses before they were made to sum to 1: what the batch would count for in a larger one. */
  readonly weight: number;
  /** The part of theta that the gradient is of and that alone moves; default all. A new part starts the optimiser anew. */
  readonly range?: Range;
}

/** Elements start to end - 1. */
export interface Range {
  readonly start: number;
  readonly end: number;
}

export interface Validation {
  /** Mean loss of the answer tokens. */
  readonly loss: number;
  /** Share of conversations whose every answer token is the model's first choice: what greedy decoding gets exactly right. */
  readonly exact: number;
}

/** What the loop drives. `batch` counts from 0 and names the same data in every run with the same seed. */
export interface Trainee {
  readonly initial: Float32Array;
  /** What steps depend on beside theta and the batch, kept up by `step`: checkpoints hold it, and write it back. */
  readonly memory?: Float32Array;
  step(theta: Float32Array, batch: number): Promise<StepResult>;
  validate(theta: Float32Array): Promise<Validation>;
}

export interface LoopOptions {
  readonly learningRate: number;
  readonly warmupSteps: number;
  /** Last rate as a share of the peak. */
  readonly floor: number;
  readonly budgetSeconds: number;
  /** Steps of `maxEpochs`. */
  readonly mostSteps: number;
  /** A fixed number of steps instead of the budget: runs are then identical bit by bit. */
  readonly steps?: number;
  /** Validations without a better loss before the run ends. */
  readonly patience: number;
  /** Seconds between checkpoints. */
  readonly checkpointSeconds: number;
  /** Default `adamw`. */
  readonly optimiser?: OptimiserName;
  /** The threads that compute updates; default the caller's alone. */
  readonly crew?: Crew;
}

export interface LossRecord {
  /** Steps made, from 1. */
  step: number;
  /** Tokens so far. */
  tokens: number;
  loss: number;
  lr: number;
  tokensPerSecond: number;
  validation?: number;
  exact?: number;
}

export interface Note {
  step: number;
  message: string;
}

/** All of a run but its arrays: what a checkpoint holds as JSON. */
interface RunState {
  plan: Plan | null;
  /** Seconds spent, over all attempts. */
  seconds: number;
  stepSeconds: number;
  validationSeconds: number;
  records: LossRecord[];
  notes: Note[];
  guard: GuardState;
  /** Factor of the rate after faults. */
  rateFactor: number;
  /** Batches passed over after faults. */
  skipped: number;
  /** Where the last fault led back to, until a good step was made from there. */
  suspect: number | null;
  /** The part of theta that the optimiser moves. */
  range: Range;
  best: { step: number; loss: number; exact: number } | null;
  worse: number;
  finished: string | null;
}

export interface Progressing {
  readonly record: LossRecord;
  readonly plan: Plan | null;
  readonly secondsLeft: number | undefined;
}

export interface LoopHooks {
  /** Seconds from any fixed moment. */
  readonly clock: () => number;
  readonly onStep: (progress: Progressing) => void;
  readonly onNote: (note: Note) => void;
  /** Looked at between steps; when true the loop saves a checkpoint and throws what `stopped` returns. */
  readonly stopping: () => boolean;
}

export interface LoopResult {
  /** Of the best validation. */
  readonly theta: Float32Array;
  readonly best: { step: number; loss: number; exact: number };
  readonly steps: number;
  readonly seconds: number;
  readonly records: readonly LossRecord[];
  readonly notes: readonly Note[];
  /** Why the run ended. */
  readonly reason: string;
}

const KEPT_CHECKPOINTS = 2;
/** The first step allocates; the next ones tell the speed. */
const SPEED_STEPS = [2, 3];
const MOST_FAULTS = 6;
/** After every so many steps the plan is made again, and taken when it differs by more than this share. */
const REPLAN_STEPS = 10;
const REPLAN_SHARE = 0.1;

export class Interrupted extends Error {
  override readonly name = 'AbortError';
}

/**
 * Trains until the plan, the patience or a fault ends it. Checkpoints go to `folder`; a run that finds one there goes on from it
 * as if it had not been interrupted.
 * @throws CupelError after repeated faults; Interrupted when stopped
 */
export async function train(
  trainee: Trainee,
  options: LoopOptions,
  folder: string,
  hooks: LoopHooks,
): Promise<LoopResult> {
  const run = new Run(trainee, options, folder, hooks);
  return run.go();
}

class Run {
  readonly #trainee: Trainee;
  readonly #options: LoopOptions;
  readonly #folder: string;
  readonly #hooks: LoopHooks;
  readonly #theta: Float32Array;
  #best: Float32Array;
  #optimiser: Optimiser;
  /** The trainee's before the first step. */
  readonly #fresh: Float32Array;
  #state: RunState;
  #step: number;
  #started: number;
  #savedAt: number;

  constructor(trainee: Trainee, options: LoopOptions, folder: string, hooks: LoopHooks) {
    this.#trainee = trainee;
    this.#options = options;
    this.#folder = folder;
    this.#hooks = hooks;
    this.#theta = alignedCopy(trainee.initial);
    this.#best = this.#theta.slice();
    this.#state = freshState(this.#theta.length);
    this.#optimiser = this.#optimiserOf(this.#state.range);
    this.#fresh = (trainee.memory ?? new Float32Array()).slice();
    this.#step = 0;
    this.#savedAt = hooks.clock();
    this.#started = hooks.clock();
    this.#restore();
  }

  async go(): Promise<LoopResult> {
    if (this.#step > 0) this.#hooks.onNote({ step: this.#step, message: `goes on from step ${this.#step}` });
    while (!this.#state.finished) {
      if (this.#hooks.stopping()) {
        this.#save();
        throw new Interrupted(`stopped after step ${this.#step}; run the same command again to continue`);
      }
      await this.#oneStep();
      if (this.#due()) this.#save();
    }
    this.#save();
    const { best, records, notes, finished } = this.#state;
    return {
      theta: this.#best,
      best: best!,
      steps: this.#step,
      seconds: this.#spent(),
      records,
      notes,
      reason: finished!,
    };
  }

  async #oneStep(): Promise<void> {
    const state = this.#state;
    const before = this.#hooks.clock();
    const result = await this.#trainee.step(this.#theta, this.#step + state.skipped);
    const { loss, gradient, tokens, range, norm = globalNorm(gradient, this.#options.crew) } = result;
    const wrong = fault(state.guard, loss, norm);
    if (wrong) return this.#rollBack(wrong);
    const lr = this.#rate() * state.rateFactor;
    this.#move(gradient, norm, lr, range);
    state.guard = remember(state.guard, loss);
    state.suspect = null;
    this.#step++;
    const seconds = this.#hooks.clock() - before;
    const total = (state.records.at(-1)?.tokens ?? 0) + tokens;
    state.records.push({ step: this.#step, tokens: total, loss, lr, tokensPerSecond: tokens / seconds });
    await this.#planOrValidate(seconds);
    this.#report();
  }

  #move(gradient: Float32Array, norm: number, lr: number, range: Range = { start: 0, end: this.#theta.length }): void {
    const state = this.#state;
    if (range.start !== state.range.start || range.end !== state.range.end) {
      state.range = { start: range.start, end: range.end };
      this.#optimiser = this.#optimiserOf(range);
    }
    this.#optimiser.update(this.#theta.subarray(range.start, range.end), gradient, lr, norm);
  }

  #optimiserOf({ start, end }: Range): Optimiser {
    return makeOptimiser(this.#options.optimiser ?? 'adamw', end - start, this.#options.crew);
  }

  async #planOrValidate(seconds: number): Promise<void> {
    const state = this.#state;
    if (!state.plan) {
      if (this.#step === SPEED_STEPS[0]) state.stepSeconds = seconds;
      if (this.#step < SPEED_STEPS[1] && !this.#options.steps) return;
      state.stepSeconds = Math.min(state.stepSeconds || seconds, seconds);
      await this.#validate();
      this.#makePlan();
    } else {
      state.stepSeconds = 0.9 * state.stepSeconds + 0.1 * seconds;
      this.#replan();
      const { steps, validateEvery } = state.plan;
      if (this.#step % validateEvery === 0 || this.#step >= steps) await this.#validate();
    }
    if (this.#step >= state.plan!.steps) state.finished ??= 'all planned steps are made';
    else if (state.worse >= this.#options.patience) {
      state.finished = `no better validation loss in ${state.worse} validations`;
    }
  }

  #makePlan(): void {
    const { steps, budgetSeconds, mostSteps } = this.#options;
    const { stepSeconds: step, validationSeconds: validation } = this.#state;
    if (steps) this.#state.plan = { steps, validateEvery: Math.max(1, Math.ceil(steps / 8)) };
    else {
      const secondsLeft = budgetSeconds - this.#spent();
      this.#state.plan = planSteps({ step, validation }, { secondsLeft, done: this.#step, mostSteps });
    }
    const plan = this.#state.plan;
    this.#note(`${plan.steps} steps planned, ${step.toFixed(2)} s each; validation takes ${validation.toFixed(1)} s`);
  }

  /** The speed of the first steps may mislead: others use the machine too. The plan follows what is measured since. */
  #replan(): void {
    const { plan, stepSeconds: step, validationSeconds: validation } = this.#state;
    if (this.#options.steps || !plan || this.#step % REPLAN_STEPS !== 0) return;
    const secondsLeft = this.#options.budgetSeconds - this.#spent();
    const { mostSteps } = this.#options;
    const fresh = planSteps({ step, validation }, { secondsLeft, done: this.#step, mostSteps });
    if (Math.abs(fresh.steps - plan.steps) <= REPLAN_SHARE * plan.steps) return;
    this.#state.plan = {
      steps: fresh.steps,
      validateEvery: Math.min(fresh.steps, Math.max(plan.validateEvery, fresh.validateEvery)),
    };
    const change = fresh.steps < plan.steps ? 'slower' : 'faster';
    this.#note(`${change} than planned (${step.toFixed(2)} s a step): ${fresh.steps} steps instead of ${plan.steps}`);
  }

  async #validate(): Promise<void> {
    const state = this.#state;
    const before = this.#hooks.clock();
    const { loss, exact } = await this.#trainee.validate(this.#theta);
    state.validationSeconds = this.#hooks.clock() - before;
    const record = state.records.at(-1)!;
    record.validation = loss;
    record.exact = exact;
    if (!state.best || loss < state.best.loss) {
      state.best = { step: this.#step, loss, exact };
      state.worse = 0;
      this.#best.set(this.#theta);
    } else state.worse++;
  }

  #rate(): number {
    const { learningRate: peak, warmupSteps, floor } = this.#options;
    // before there is a plan the rate is that of the warm-up, which does not depend on it
    const steps = this.#state.plan?.steps ?? Number.MAX_SAFE_INTEGER;
    return learningRate({ peak, steps, warmupSteps, floor }, this.#step);
  }

  #rollBack(wrong: string): void {
    const { skipped, rateFactor, notes, records, suspect } = this.#state;
    const at = this.#step;
    // two batches failed on the weights of one checkpoint: it was saved after the step that broke them
    if (at === suspect) dropCheckpoint(this.#folder, at);
    this.#theta.set(this.#trainee.initial);
    this.#step = 0;
    const spent = this.#spent();
    this.#state = { ...freshState(this.#theta.length), seconds: spent };
    this.#optimiser = this.#optimiserOf(this.#state.range);
    this.#trainee.memory?.set(this.#fresh);
    this.#restore();
    // the batch that failed, and those since the checkpoint, are not drawn again
    this.#state.skipped = skipped + at + 1 - this.#step;
    this.#state.suspect = this.#step;
    this.#state.rateFactor = rateFactor / 2;
    this.#state.notes = notes;
    this.#state.seconds = spent;
    this.#started = this.#hooks.clock();
    this.#note(`${wrong} at step ${at + 1}: back to step ${this.#step}, learning rate halved`);
    if (this.#state.rateFactor < 2 ** -MOST_FAULTS) {
      throw new CupelError(
        `training does not hold: ${wrong} at step ${records.length + 1}, after ${MOST_FAULTS} retries`,
        {
          remedy: 'lower --learning-rate, or use --precision float32',
        },
      );
    }
    this.#save();
  }

  #restore(): void {
    const found = loadCheckpoint<RunState>(this.#folder);
    if (!found) return;
    const { theta, best, memory, ...moments } = found.arrays;
    if (theta?.length !== this.#theta.length || memory?.length !== this.#fresh.length) return;
    const optimiser = this.#optimiserOf(found.state.range);
    if (!optimiser.restore(moments)) return;
    this.#theta.set(theta);
    this.#best = best;
    this.#optimiser = optimiser;
    this.#trainee.memory?.set(memory);
    this.#state = found.state;
    this.#step = found.step;
  }

  #due(): boolean {
    return this.#hooks.clock() - this.#savedAt >= this.#options.checkpointSeconds;
  }

  #save(): void {
    const state: RunState = { ...this.#state, seconds: this.#spent() };
    const memory = this.#trainee.memory ?? new Float32Array();
    const arrays = { theta: this.#theta, best: this.#best, memory, ...this.#optimiser.state() };
    saveCheckpoint(this.#folder, { step: this.#step, state, arrays }, KEPT_CHECKPOINTS);
    this.#savedAt = this.#hooks.clock();
  }

  #spent(): number {
    return this.#state.seconds + this.#hooks.clock() - this.#started;
  }

  #secondsLeft(): number | undefined {
    const { plan, stepSeconds, validationSeconds } = this.#state;
    if (!plan) return undefined;
    const steps = plan.steps - this.#step;
    return steps * stepSeconds + Math.ceil(steps / plan.validateEvery) * validationSeconds;
  }

  #report(): void {
    const { records, plan } = this.#state;
    this.#hooks.onStep({ record: records.at(-1)!, plan, secondsLeft: this.#secondsLeft() });
  }

  #note(message: string): void {
    const note = { step: this.#step, message };
    this.#state.notes.push(note);
    this.#hooks.onNote(note);
  }
}

function freshState(size: number): RunState {
  return {
    plan: null,
    seconds: 0,
    stepSeconds: 0,
    validationSeconds: 0,
    records: [],
    notes: [],
    guard: CALM,
    rateFactor: 1,
    skipped: 0,
    suspect: null,
    range: { start: 0, end: size },
    best: null,
    worse: 0,
    finished: null,
  };
}
