// Carries one exchange: upstream and back, byte for byte, recorded before its caller gets the end of the answer.
import type { IncomingMessage, ServerResponse } from 'node:http';
import type { Outcome } from '../exchange.ts';
import type { UpstreamRequest } from '../proxy/attempt.ts';
import { ForwardError, type Forwarded, type ForwardPolicy, forward } from '../proxy/forward.ts';
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
  attempts: number;
  streamed: boolean;
  /** Milliseconds on the clock of `performance.now()`. */
  firstByteAt: number | null;
  endedAt: number;
  /** The answer as it is recorded. */
  response: unknown;
}

export interface RelayCall {
  request: Omit<UpstreamRequest, 'signal'>;
  upstreams: readonly Upstream[];
  policy: ForwardPolicy;
  outgoing: ServerResponse;
  /** Added to the answer once it is recorded, or on a stream at its beginning. */
  headers: Record<string, string>;
  /** Called while the upstream works. */
  meanwhile: () => void;
  /** Records; a promise is awaited. True when the exchange is on file. Must not throw. */
  finish: (ending: Ending) => boolean | Promise<boolean>;
}

/** Resolves when the answer is with the caller, or the caller is gone. */
export async function relay(call: RelayCall): Promise<void> {
  const { outgoing } = call;
  const controller = new AbortController();
  const hungUp = () => {
    if (!outgoing.writableFinished) controller.abort(new Error('the caller hung up'));
  };
  outgoing.once('close', hungUp);
  const sent = forward({ ...call.request, signal: controller.signal }, call.upstreams, call.policy);
  // a failure before the next await has its handler below
  sent.catch(() => {});
  call.meanwhile();
  let forwarded: Forwarded;
  try {
    forwarded = await sent;
  } catch (error) {
    await unanswered(call, error, controller.signal.aborted);
    return;
  }
  await new Passage(call, forwarded, controller).run();
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
    attempts: error instanceof ForwardError ? error.attempts : 1,
    streamed: false,
    firstByteAt: null,
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
  #controller: AbortController;
  #collected: Collected;
  #firstByteAt: number | null = null;
  #finished = false;
  #recorded = false;

  constructor(call: RelayCall, forwarded: Forwarded, controller: AbortController) {
    this.#call = call;
    this.#answer = forwarded.answer;
    this.#forwarded = forwarded;
    this.#controller = controller;
    const { headers } = forwarded.answer;
    this.#collected = new Collected(headers['content-type'], headers['content-encoding']);
  }

  async run(): Promise<void> {
    const { outgoing } = this.#call;
    // the upstream stops computing when its connection is cut
    this.#controller.signal.addEventListener('abort', () => this.#answer.destroy(), { once: true });
    if (this.#controller.signal.aborted) this.#answer.destroy();
    try {
      const held = this.#collected.streamed ? await this.#stream() : await this.#whole();
      if (!this.#answer.complete) throw new Error('the upstream closed the connection early');
      await this.#finish(this.#forwarded.answer.statusCode! >= 400 ? 'error' : 'complete');
      this.#head();
      outgoing.end(held);
    } catch {
      if (this.#finished && outgoing.headersSent && !this.#controller.signal.aborted) {
        // the end mark was there: whatever broke after it is nothing that the caller misses
        outgoing.end();
        return;
      }
      await this.#finish(this.#controller.signal.aborted ? 'cancelled' : 'broken');
      // what has begun cannot be taken back: the caller must see that it is cut
      if (outgoing.headersSent) outgoing.destroy();
      else this.#bad();
    }
  }

  /** Passes events on as they come; the chunk with the end mark waits until the exchange is on file. */
  async #stream(): Promise<undefined> {
    const done = new DoneDetector();
    this.#head(true);
    this.#call.outgoing.flushHeaders();
    for await (const chunk of this.#answer as AsyncIterable<Buffer>) {
      this.#firstByteAt ??= performance.now();
      if (!this.#finished && done.push(chunk)) {
        this.#collected.add(chunk);
        await this.#finish('complete');
        await this.#write(chunk);
      } else {
        await this.#write(chunk);
        if (!this.#finished) this.#collected.add(chunk);
      }
    }
  }

  /** Passes chunks on, one behind: the last is returned and waits until the exchange is on file. */
  async #whole(): Promise<Buffer | undefined> {
    let held: Buffer | undefined;
    for await (const chunk of this.#answer as AsyncIterable<Buffer>) {
      this.#firstByteAt ??= performance.now();
      if (held) {
        this.#head();
        await this.#write(held);
      }
      held = chunk;
      this.#collected.add(chunk);
    }
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

  async #write(chunk: Buffer): Promise<void> {
    const { outgoing } = this.#call;
    if (outgoing.write(chunk) || outgoing.destroyed) return;
    await new Promise<void>((resolve) => {
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
    this.#recorded = await this.#call.finish({
      status: this.#answer.statusCode!,
      outcome,
      upstream: this.#forwarded.upstream.name,
      attempts: this.#forwarded.attempts,
      streamed: this.#collected.streamed,
      firstByteAt: this.#firstByteAt,
      endedAt: performance.now(),
      response: this.#collected.result(),
    });
  }
}
