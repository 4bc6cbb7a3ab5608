// Turns a budget of seconds into a number of steps and of validations.

export interface Speed {
  /** Seconds of one training step and of one validation pass. */
  readonly step: number;
  readonly validation: number;
}

export interface Demand {
  /** Seconds that may still be spent. */
  readonly secondsLeft: number;
  /** Steps made before, which count towards `steps`. */
  readonly done: number;
  /** Never more steps than this: the epochs asked for. */
  readonly mostSteps: number;
}

export interface Plan {
  /** Steps in all, those already made included. */
  readonly steps: number;
  /** A validation after every so many steps, and one at the end. */
  readonly validateEvery: number;
}

/** Share of the time that validation may take. */
const VALIDATION_SHARE = 0.1;
const MOST_VALIDATIONS = 12;
const RESERVE = 0.03;

/** As many steps as fit, with up to 12 validations in at most a tenth of the time. At least one step and one validation. */
export function planSteps({ step, validation }: Speed, { secondsLeft, done, mostSteps }: Demand): Plan {
  const usable = secondsLeft * (1 - RESERVE);
  const affordable = Math.floor((VALIDATION_SHARE * usable) / Math.max(validation, 1e-9));
  const validations = Math.max(1, Math.min(MOST_VALIDATIONS, affordable));
  const fitting = done + Math.floor((usable - validations * validation) / step);
  const steps = Math.max(done + 1, Math.min(fitting, mostSteps));
  return { steps, validateEvery: Math.max(1, Math.ceil(steps / validations)) };
}
