// Sends a request upstream: retries with jitter and fails over, but only until an answer has begun.
import type { IncomingMessage } from 'node:http';
import { attempt, type TimeLimits, TimeoutError, type UpstreamRequest } from './attempt.ts';
import type { Hangup } from './hangup.ts';
import type { Upstream } from './upstream.ts';

export interface ForwardPolicy extends TimeLimits {
  /** Further tries at the same upstream. */
  retries: number;
  /** Milliseconds of the first pause; it doubles, and the actual pause is uniform between 0 and that. */
  backoffMs: number;
}

export const DEFAULT_POLICY: ForwardPolicy = {
  retries: 2,
  backoffMs: 250,
  connectMs: 10_000,
  firstByteMs: 600_000,
  idleMs: 300_000,
};

export interface Forwarded {
  answer: IncomingMessage;
  upstream: Upstream;
  /** Requests sent, this one included. */
  attempts: number;
}

/** No upstream answered at all. */
export class ForwardError extends Error {
  readonly timedOut: boolean;
  readonly attempts: number;

  constructor(cause: Error, attempts: number) {
    super(cause.message, { cause });
    this.timedOut = cause instanceof TimeoutError;
    this.attempts = attempts;
  }
}

/** Statuses that say "not now" rather than "not so": 529 is Anthropic's "overloaded". */
const PASSING = new Set([408, 429, 500, 502, 503, 504, 529]);

/** Longest `Retry-After`, in milliseconds, that is waited for; beyond it the next upstream or the caller gets the answer. */
const PATIENCE_MS = 5_000;

/**
 * The first answer that is not a passing failure. When nothing is left to try, the last failing answer as it is: the
 * caller sees the upstream's own status and body.
 * @throws ForwardError when no upstream answered; the hangup's reason when the caller is gone
 */
export async function forward(
  request: UpstreamRequest,
  upstreams: readonly Upstream[],
  policy: ForwardPolicy,
): Promise<Forwarded> {
  const turns = inTurn(upstreams);
  let attempts = 0;
  for (const [turn, upstream] of turns.entries()) {
    for (let retry = 0; ; retry++) {
      attempts++;
      const outcome = await attempt(request, upstream, policy).catch((error: Error) => error);
      request.hangup.throwIfGone();
      if (!isPassing(outcome)) {
        upstream.answered();
        return { answer: outcome, upstream, attempts };
      }
      upstream.failed();
      const pause = pauseAfter(outcome, retry, policy);
      const giveUp = retry >= policy.retries || pause > PATIENCE_MS || outcome instanceof TimeoutError;
      if (giveUp && turn === turns.length - 1) {
        if (outcome instanceof Error) throw new ForwardError(outcome, attempts);
        return { answer: outcome, upstream, attempts };
      }
      if (!(outcome instanceof Error)) outcome.resume();
      if (giveUp) break;
      await sleep(pause, request.hangup);
    }
  }
  throw new ForwardError(new Error('no upstream is configured'), attempts);
}

/** Upstreams in the order they are tried: those that keep failing come last. */
function inTurn(upstreams: readonly Upstream[]): Upstream[] {
  return [...upstreams.filter((upstream) => !upstream.resting), ...upstreams.filter((upstream) => upstream.resting)];
}

function isPassing(outcome: IncomingMessage | Error): outcome is (IncomingMessage & { statusCode: number }) | Error {
  return outcome instanceof Error || PASSING.has(outcome.statusCode!);
}

/** Milliseconds until the next try: what the upstream asks for, or exponential backoff with full jitter. */
function pauseAfter(outcome: IncomingMessage | Error, retry: number, policy: ForwardPolicy): number {
  const asked = outcome instanceof Error ? undefined : retryAfterMs(outcome.headers['retry-after']);
  return asked ?? Math.random() * policy.backoffMs * 2 ** retry;
}

function retryAfterMs(header: string | undefined): number | undefined {
  if (header === undefined) return undefined;
  const seconds = /^\d+(\.\d+)?$/.test(header) ? Number(header) : (Date.parse(header) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, seconds * 1000) : undefined;
}

/** Ends early when the caller goes. @throws the hangup's reason */
async function sleep(ms: number, hangup: Hangup): Promise<void> {
  await new Promise<void>((resolve) => {
    const awake = () => {
      clearTimeout(timer);
      forget();
      resolve();
    };
    const timer = setTimeout(awake, ms);
    const forget = hangup.on(awake);
  });
  hangup.throwIfGone();
}
