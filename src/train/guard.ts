// Watches the losses of a run: tells a spike or a number that is none from ordinary noise.

/** Running mean and mean deviation of the losses so far; plain data, so that a checkpoint can hold it. */
export interface GuardState {
  readonly seen: number;
  readonly mean: number;
  readonly deviation: number;
}

export const CALM: GuardState = { seen: 0, mean: 0, deviation: 0 };

const MEMORY = 0.95;
/** Losses to see before a spike can be told from a start. */
const WARMUP = 20;
/** A spike lies this many mean deviations above the mean, and at least this much (nats) above it. */
const DEVIATIONS = 8;
const AT_LEAST = 1.5;

/** What is wrong with a step, or null. */
export function fault(state: GuardState, loss: number, gradientNorm: number): string | null {
  if (!Number.isFinite(loss)) return `the loss is ${loss}`;
  if (!Number.isFinite(gradientNorm)) return `the gradient norm is ${gradientNorm}`;
  if (state.seen < WARMUP) return null;
  const limit = state.mean + Math.max(AT_LEAST, DEVIATIONS * state.deviation);
  return loss > limit ? `the loss jumped to ${loss.toFixed(3)} from about ${state.mean.toFixed(3)}` : null;
}

/** The state after a good step. */
export function remember({ seen, mean, deviation }: GuardState, loss: number): GuardState {
  // the first losses weigh more, so that the mean does not begin at zero
  const keep = Math.min(MEMORY, seen / (seen + 1));
  const next = keep * mean + (1 - keep) * loss;
  return { seen: seen + 1, mean: next, deviation: keep * deviation + (1 - keep) * Math.abs(loss - next) };
}
