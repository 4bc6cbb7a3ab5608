// Carries one exchange: upstream and back, byte for byte, recorded before its caller gets the end of the answer.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Outcome } from '../exchange.ts';
import type { UpstreamRequest } from '../proxy/attempt.ts';
import { ForwardError, type Forwarded, type ForwardPolicy, forward } from '../proxy/forward.ts';
import { Hangup } from '../proxy/hangup.ts';
import { DoneDetector } from '../proxy/sse.ts';
import type { Upstream } from '../proxy/upstream.ts';
import { Collected } from './collect.ts';
import { answeredHeaders } from './headers.ts';
import { Problem } from './problem.ts';

/** How an exchange went, handed to `finish` exactly once and before the answer ends. */
export interface Ending {
  status: number;
  outcome: Outcome;
  upstream: string | null;
  /** What that upstream calls the model, where it has a name of its own for it. */
  model: string | null;
  attempts: number;
  streamed: boolean;
  /** When the answer itself began: on a stream the first event with text or a call. Milliseconds of `performance.now()`. */
  begunAt: number | null;
  endedAt: number;
  /** The answer as it is recorded. */
  response: unknown;
}

export interface RelayCall {
  request: Omit<UpstreamRequest, 'hangup'>;
  upstreams: readonly Upstream[];
  policy: ForwardPolicy;
  outgoing: ServerResponse;
  /** Added to the answer: once it is recorded, or where it comes in several pieces at its beginning. */
  headers: Record<string, string>;
  /** Called while the upstream works. */
  meanwhile: () => void;
  /** Records; a promise is awaited. True when the exchange is on file. Must not throw. */
  finish: (ending: Ending) => boolean | Promise<boolean>;
}

/** Resolves when the answer is with the caller, or the caller is gone. */
export async function relay(call: RelayCall): Promise<void> {
  const { outgoing } = call;
  const hangup = new Hangup();
  outgoing.once('close', () => {
    if (!outgoing.writableFinished) hangup.happened();
  });
  const sent = forward({ ...call.request, hangup }, call.upstreams, call.policy);
  // a failure before the next await has its handler below
  sent.catch(() => {});
  call.meanwhile();
  let forwarded: Forwarded;
  try {
    forwarded = await sent;
  } catch (error) {
    await unanswered(call, error, hangup.gone);
    return;
  }
  await new Passage(call, forwarded, hangup).run();
}

/** No upstream answered, or the caller did not wait. */
async function unanswered(call: RelayCall, error: unknown, gone: boolean): Promise<void> {
  const { outgoing } = call;
  const timedOut = error instanceof ForwardError && error.timedOut;
  const problem = timedOut
    ? new Problem(504, 'upstream_timeout', 'the upstream did not answer in time')
    : new Problem(502, 'upstream_unreachable', 'no upstream could be reached');
  const recorded = await call.finish({
    status: gone ? 499 : problem.status,
    outcome: gone ? 'cancelled' : 'error',
    upstream: null,
    model: null,
    attempts: error instanceof ForwardError ? error.attempts : 1,
    streamed: false,
    begunAt: null,
    endedAt: performance.now(),
    response: gone ? null : { error: { message: error instanceof Error ? error.message : String(error) } },
  });
  if (gone) return;
  outgoing.writeHead(problem.status, { ...problem.headers, ...(recorded ? call.headers : {}) });
  outgoing.end(problem.body);
}

/** The answer on its way to the caller. */
class Passage {
  #call: RelayCall;
  #answer: IncomingMessage;
  #forwarded: Forwarded;
  #hangup: Hangup;
  #collected: Collected;
  #begunAt: number | null = null;
  #finished = false;
  #recorded = false;

  constructor(call: RelayCall, forwarded: Forwarded, hangup: Hangup) {
    this.#call = call;
    this.#answer = forwarded.answer;
    this.#forwarded = forwarded;
    this.#hangup = hangup;
    const { headers } = forwarded.answer;
    this.#collected = new Collected(headers['content-type'], headers['content-encoding']);
  }

  async run(): Promise<void> {
    const { outgoing } = this.#call;
    // the upstream stops computing when its connection is cut
    this.#hangup.on(() => this.#answer.destroy());
    if (this.#hangup.gone) this.#answer.destroy();
    try {
      const held = this.#collected.legible ? await this.#stream() : await this.#whole();
      if (!this.#answer.complete) throw new Error('the upstream closed the connection early');
      await this.#finish(this.#forwarded.answer.statusCode! >= 400 ? 'error' : 'complete');
      this.#head();
      outgoing.end(held);
    } catch {
      if (this.#finished && outgoing.headersSent && !this.#hangup.gone) {
        // the end mark was there: whatever broke after it is nothing that the caller misses
        outgoing.end();
        return;
      }
      await this.#finish(this.#hangup.gone ? 'cancelled' : 'broken');
      // what has begun cannot be taken back: the caller must see that it is cut
      if (outgoing.headersSent) outgoing.destroy();
      else this.#bad();
    }
  }

  /** Passes events on as they come; the chunk with the end mark waits until the exchange is on file. */
  async #stream(): Promise<undefined> {
    const mark = new DoneDetector();
    let near = false;
    this.#head(true);
    const { outgoing } = this.#call;
    // the first events often come with the head: then both leave at once
    setImmediate(() => outgoing.writable && outgoing.flushHeaders());
    await eachChunk(this.#answer, (chunk) => {
      near ||= mark.push(chunk);
      if (this.#finished) return this.#write(chunk);
      if (near) return this.#lastOf(chunk);
      const written = this.#write(chunk);
      this.#take(chunk);
      return written;
    });
  }

  /** A chunk that may hold the end mark is understood before it is passed on. */
  #lastOf(chunk: Buffer): void | Promise<void> {
    this.#take(chunk);
    if (!this.#collected.ended) return this.#write(chunk);
    return this.#finish('complete').then(() => this.#write(chunk));
  }

  #take(chunk: Buffer): void {
    const at = this.#begunAt === null ? performance.now() : 0;
    this.#collected.add(chunk);
    if (this.#begunAt === null && this.#collected.begun) this.#begunAt = at;
  }

  /**
   * Passes chunks on, one behind: the last is returned and waits until the exchange is on file. Compressed streams too, whose
   * end mark nobody sees here.
   */
  async #whole(): Promise<Buffer | undefined> {
    let held: Buffer | undefined;
    await eachChunk(this.#answer, (chunk) => {
      this.#take(chunk);
      const before = held;
      held = chunk;
      if (!before) return;
      this.#head(true);
      return this.#write(before);
    });
    return held;
  }

  #head(early = false): void {
    const { outgoing, headers } = this.#call;
    if (outgoing.headersSent) return;
    const own = early || this.#recorded ? headers : {};
    const raw = answeredHeaders(this.#answer.rawHeaders);
    outgoing.writeHead(this.#answer.statusCode!, this.#answer.statusMessage, [...raw, ...Object.entries(own).flat()]);
  }

  #bad(): void {
    const problem = new Problem(502, 'upstream_broke_off', 'the upstream broke off its answer');
    this.#call.outgoing.writeHead(problem.status, problem.headers);
    this.#call.outgoing.end(problem.body);
  }

  /** A promise where the caller reads slower than the upstream writes. */
  #write(chunk: Buffer): void | Promise<void> {
    const { outgoing } = this.#call;
    if (outgoing.write(chunk) || outgoing.destroyed) return;
    return new Promise<void>((resolve) => {
      const go = () => {
        outgoing.off('drain', go);
        outgoing.off('close', go);
        resolve();
      };
      outgoing.on('drain', go);
      outgoing.on('close', go);
    });
  }

  async #finish(outcome: Outcome): Promise<void> {
    if (this.#finished) return;
    this.#finished = true;
    const endedAt = performance.now();
    const response = this.#collected.result();
    this.#recorded = await this.#call.finish({
      status: this.#answer.statusCode!,
      outcome: outcome === 'complete' && this.#collected.failed ? 'error' : outcome,
      upstream: this.#forwarded.upstream.name,
      model: this.#forwarded.upstream.model ?? null,
      attempts: this.#forwarded.attempts,
      streamed: this.#collected.streamed,
      begunAt: this.#begunAt,
      endedAt,
      response,
    });
  }
}

/** Hands chunks over as they come; a promise that `take` returns holds the next one back. Rejects when they break off. */
function eachChunk(answer: IncomingMessage, take: (chunk: Buffer) => void | Promise<void>): Promise<void> {
  return new Promise((resolve, reject) => {
    let busy: void | Promise<void>;
    const broken = (error: unknown) => void Promise.resolve(busy).then(() => reject(error), reject);
    answer.on('data', (chunk: Buffer) => {
      try {
        busy = take(chunk);
      } catch (error) {
        broken(error);
      }
      if (!busy) return;
      answer.pause();
      busy.then(() => answer.resume(), broken);
    });
    answer.on('end', resolve);
    answer.on('error', broken);
    answer.on('close', () => broken(new Error('the answer broke off')));
  });
}
