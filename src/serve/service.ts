// What the routes share: the models, the queue before them, the requests in flight and how they end.
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { sha256 } from '../base/hash.ts';
import { VERSION } from '../base/version.ts';
import type { GenerateRequest, GenerateResult, TextDelta } from './engine/protocol.ts';
import { Admission } from './http/admission.ts';
import { ApiError } from './http/errors.ts';
import type { Models } from './models.ts';
import type { ServedModel } from './served-model.ts';

/** `system_fingerprint` of the answers. */
export const VERSION_TAG = `cupel-${VERSION}`;

export interface ServiceLimits {
  bodyBytes: number;
  /** Requests that may wait. */
  queue: number;
}

/** One request of a caller while it is answered. */
export interface Call {
  generate(request: GenerateRequest, onDelta?: (delta: TextDelta) => void): Promise<GenerateResult>;
  /** Does the work of the call, then frees its place; to be called exactly once. */
  finish<T>(work: () => Promise<T>): Promise<T>;
  abort: () => void;
}

export class Service {
  readonly models: Models;
  readonly limits: ServiceLimits;
  draining = false;
  private readonly admissions = new WeakMap<ServedModel, Admission>();
  private readonly flying = new Set<AbortController>();
  private landed: (() => void) | undefined;

  constructor(models: Models, limits: ServiceLimits) {
    this.models = models;
    this.limits = limits;
  }

  /**
   * Waits for the turn of this request.
   * @param places how many answers it will ask of the engine
   * @throws ApiError 429, 503
   */
  async begin(c: Context, model: ServedModel, places: number): Promise<Call> {
    if (this.draining) throw stopping();
    const flight = new AbortController();
    const signal = AbortSignal.any([flight.signal, c.req.raw.signal]);
    this.flying.add(flight);
    try {
      const leave = await this.admissionOf(model).enter(callerOf(c), places, signal);
      return this.callOf(model, flight, signal, leave);
    } catch (error) {
      this.land(flight);
      throw error;
    }
  }

  /** Takes no more requests; resolves when those in flight are done, or cuts them off after `milliseconds`. */
  async drain(milliseconds: number): Promise<void> {
    this.draining = true;
    if (this.flying.size === 0) return;
    const done = new Promise<void>((resolve) => {
      this.landed = resolve;
    });
    const late = setTimeout(() => {
      for (const flight of this.flying) flight.abort(stopping());
    }, milliseconds);
    await done;
    clearTimeout(late);
  }

  admissionOf(model: ServedModel): Admission {
    const known = this.admissions.get(model);
    if (known) return known;
    // a few more than fit, so that the engine can choose by common prefixes and never idles
    const running = model.engine.info.parallel + Math.ceil(model.engine.info.parallel / 2);
    const created = new Admission({ running, queue: this.limits.queue });
    this.admissions.set(model, created);
    return created;
  }

  private callOf({ engine }: ServedModel, flight: AbortController, signal: AbortSignal, leave: () => void): Call {
    return {
      generate: (request, onDelta) => engine.generate(request, { signal, onDelta }),
      finish: async (work) => {
        try {
          return await work();
        } finally {
          // of several answers one may have failed while others go on
          flight.abort();
          leave();
          this.land(flight);
        }
      },
      abort: () => flight.abort(new Error('the caller hung up')),
    };
  }

  private land(flight: AbortController): void {
    this.flying.delete(flight);
    if (this.draining && this.flying.size === 0) this.landed?.();
  }
}

/** Whose turn it is in the queue: an API key, or else an address. */
function callerOf(c: Context): string {
  const key = c.req.header('authorization');
  if (key) return sha256(key);
  return (c.env as Partial<HttpBindings>).incoming?.socket.remoteAddress ?? 'unknown';
}

function stopping(): ApiError {
  return new ApiError(503, 'the server is stopping', {
    code: 'stopping',
    headers: { 'retry-after': '5', connection: 'close' },
  });
}
