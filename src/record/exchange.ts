// One recorded exchange and one piece of feedback, in the shape of their database rows, so that no stage in between converts.
import { randomBytes } from 'node:crypto';

/**
 * How an exchange ended: `complete` (the caller got all of it), `error` (a status of 400 or more), `cancelled` (the caller
 * hung up), `broken` (the upstream stopped in the middle).
 */
export type Outcome = 'complete' | 'error' | 'cancelled' | 'broken';

/** What is stored of one request and its answer, already redacted. Field names are the columns of table `exchanges`. */
export interface Exchange {
  /** `ex_` and 32 hex digits, ordered by time. */
  id: string;
  /** ISO 8601, when the request arrived. */
  at: string;
  /** Path below the base URL, e.g. `chat/completions`. */
  endpoint: string;
  model: string | null;
  /** Name of the upstream that answered. */
  upstream: string | null;
  /** Requests sent upstream, retries included. */
  attempts: number;
  status: number;
  outcome: Outcome;
  streamed: boolean;
  request: unknown;
  /** The body; for a stream, the completion reassembled from its events. */
  response: unknown;
  /** The upstream's own id, e.g. `chatcmpl-…`. */
  completion_id: string | null;
  prompt_tokens: number | null;
  cached_tokens: number | null;
  completion_tokens: number | null;
  reasoning_tokens: number | null;
  /** Milliseconds from the request's arrival to the answer's last and first byte. */
  latency_ms: number;
  first_token_ms: number | null;
  /** US dollars by the price function; null when the model or its usage is unknown. */
  usd: number | null;
  /** What counts against a key's money limit where `usd` is unknown: estimated from the lengths of request and answer. */
  assumed_usd: number | null;
  key_id: string | null;
  user_id: string | null;
  tags: Record<string, string>;
  /** Kind of secret -> how many were replaced. */
  redactions: Record<string, number>;
}

/** What somebody said later about an answer. Field names are the columns of table `feedback`. */
export interface Feedback {
  id: string;
  /** An exchange's id, or the upstream's completion id. */
  exchange_id: string;
  at: string;
  score: number | null;
  /** The right answer: text or an assistant message. */
  corrected: unknown;
  comment: string | null;
  key_id: string | null;
}

/** The endpoint without the deployment that Azure's clients put before it: `deployments/NAME/chat/completions`. */
export function apiOf(endpoint: string): string {
  return endpoint.replace(/^deployments\/[^/]+\//, '');
}

/** An id that sorts by time (48 bits of milliseconds) and cannot be guessed (80 random bits). */
export function newId(prefix: 'ex' | 'fb' | 'key', now: number = Date.now()): string {
  return `${prefix}_${now.toString(16).padStart(12, '0')}${randomHex()}`;
}

let pool = '';

/** Twenty hex digits; the system is asked for many at a time, because each call into it costs more than the rest. */
function randomHex(): string {
  if (pool.length < 20) pool = randomBytes(2000).toString('hex');
  const digits = pool.slice(0, 20);
  pool = pool.slice(20);
  return digits;
}
