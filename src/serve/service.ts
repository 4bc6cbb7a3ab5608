// What the routes share: the models, the queue before them, the requests in flight and how they end.
import { setMaxListeners } from 'node:events';
import type { HttpBindings } from '@hono/node-server';
import type { Context } from 'hono';
import { sha256 } from '../base/hash.ts';
import { VERSION } from '../base/version.ts';
import { Cascade, type CascadeSettings } from './cascade/cascade.ts';
import type { GenerateRequest, GenerateResult, TextDelta } from './engine/protocol.ts';
import { Admission } from './http/admission.ts';
import { ApiError } from './http/errors.ts';
import { Metrics } from './metrics.ts';
import type { Models, Target } from './models.ts';
import type { ModelOptions, ServedModel } from './served-model.ts';

/** `system_fingerprint` of the answers. */
export const VERSION_TAG = `cupel-${VERSION}`;

export interface ServiceLimits {
  bodyBytes: number;
  /** Requests that may wait. */
  queue: number;
}

/** Throws a CupelError with what keeps a file from being served. */
export type Admit = (kind: 'model' | 'adapter', path: string) => Promise<void>;

export interface ServiceSettings {
  limits: ServiceLimits;
  /** Who holds it may load and drop models; undefined: nobody. */
  adminKey?: string;
  /** For models loaded later. */
  modelOptions: ModelOptions;
  admit?: Admit;
  cascade?: CascadeSettings;
}

/** One request of a caller while it is answered. */
export interface Call {
  generate(request: GenerateRequest, onDelta?: (delta: TextDelta) => void): Promise<GenerateResult>;
  /** Does the work of the call, then frees its place; to be called exactly once. */
  finish<T>(work: () => Promise<T>): Promise<T>;
  abort: () => void;
}

interface Flight {
  target: Target;
  controller: AbortController;
}

export class Service {
  readonly models: Models;
  readonly limits: ServiceLimits;
  readonly adminKey: string | undefined;
  readonly modelOptions: ModelOptions;
  readonly admit: Admit;
  readonly metrics = new Metrics();
  /** With a teacher behind the student. */
  readonly cascade: Cascade | undefined;
  /** The model that the cascade was fitted to; others and adapters answer alone. */
  student: ServedModel | undefined;
  draining = false;
  private readonly admissions = new WeakMap<ServedModel, Admission>();
  private readonly flying = new Set<Flight>();
  private readonly waiting = new Set<() => void>();

  constructor(models: Models, { limits, adminKey, modelOptions, admit, cascade }: ServiceSettings) {
    this.models = models;
    this.limits = limits;
    this.adminKey = adminKey;
    this.modelOptions = modelOptions;
    this.admit = admit ?? (async () => {});
    this.cascade = cascade && new Cascade(cascade, this.metrics.registry);
    this.metrics.watch(() => this.load());
  }

  /**
   * Waits for the turn of this request; each further answer of it waits for a turn of its own.
   * @throws ApiError 429, 503
   */
  async begin(c: Context, target: Target): Promise<Call> {
    this.checkOpen();
    const flight = { target, controller: new AbortController() };
    const signal = AbortSignal.any([flight.controller.signal, c.req.raw.signal]);
    // each answer of a large request waits on it
    setMaxListeners(0, signal);
    this.flying.add(flight);
    try {
      const admission = this.admissionOf(target.model);
      const first = await admission.enter(callerOf(c), signal);
      return this.callOf(flight, signal, first, () => admission.enter(callerOf(c), signal, true));
    } catch (error) {
      this.land(flight);
      throw error;
    }
  }

  /** @throws ApiError 503 for what comes while the server stops */
  checkOpen(): void {
    if (this.draining) throw stopping();
  }

  /** Work of a request outside of the engine, which a stopping server waits for. */
  async during<T>(target: Target, work: (signal: AbortSignal) => Promise<T>): Promise<T> {
    const flight = { target, controller: new AbortController() };
    this.flying.add(flight);
    try {
      return await work(flight.controller.signal);
    } finally {
      this.land(flight);
    }
  }

  cascadeOf({ model, adapter }: Target): Cascade | undefined {
    return model === this.student && adapter === undefined ? this.cascade : undefined;
  }

  /** Takes no more requests; resolves when those in flight are done, or cuts them off after `milliseconds`. */
  async drain(milliseconds: number): Promise<void> {
    this.draining = true;
    const late = setTimeout(() => {
      for (const { controller } of this.flying) controller.abort(stopping());
    }, milliseconds);
    await this.until(() => this.flying.size === 0);
    clearTimeout(late);
  }

  /** Resolves when nothing of an adapter, or of a model and all its adapters, is in flight. */
  settled({ model, adapter }: Target): Promise<void> {
    const ofIt = ({ target }: Flight) =>
      target.model === model && (adapter === undefined || target.adapter === adapter);
    return this.until(() => ![...this.flying].some(ofIt));
  }

  load(): { model: string; running: number; waiting: number }[] {
    return this.models.loaded().map((model) => ({ model: model.name, ...this.admissionOf(model).load }));
  }

  private admissionOf(model: ServedModel): Admission {
    const known = this.admissions.get(model);
    if (known) return known;
    // a few more than fit, so that the engine can choose by common prefixes and never idles
    const running = model.engine.info.parallel + Math.ceil(model.engine.info.parallel / 2);
    const created = new Admission({ running, queue: this.limits.queue });
    this.admissions.set(model, created);
    return created;
  }

  private callOf(flight: Flight, signal: AbortSignal, first: () => void, another: () => Promise<() => void>): Call {
    const { target, controller } = flight;
    let spare: (() => void) | undefined = first;
    const place = async () => {
      const leave = spare ?? another();
      spare = undefined;
      return leave;
    };
    return {
      generate: async (request, onDelta) => {
        const leave = await place();
        try {
          return await this.generate(target, request, signal, onDelta);
        } finally {
          leave();
        }
      },
      finish: async (work) => {
        try {
          return await work();
        } finally {
          // of several answers one may have failed while others go on
          controller.abort();
          spare?.();
          this.land(flight);
        }
      },
      abort: () => controller.abort(new Error('the caller hung up')),
    };
  }

  private async generate(
    { name, model, adapter }: Target,
    request: GenerateRequest,
    signal: AbortSignal,
    onDelta?: (delta: TextDelta) => void,
  ): Promise<GenerateResult> {
    const started = performance.now();
    const seconds = () => (performance.now() - started) / 1000;
    let begun = false;
    const watched = (delta: TextDelta) => {
      if (!begun) this.metrics.began(name, seconds());
      begun = true;
      onDelta!(delta);
    };
    const result = await model.engine.generate({ ...request, adapter }, { signal, onDelta: onDelta && watched });
    this.metrics.generated(name, result, seconds());
    return result;
  }

  private until(met: () => boolean): Promise<void> {
    if (met()) return Promise.resolve();
    return new Promise((resolve) => {
      const look = () => {
        if (!met()) return;
        this.waiting.delete(look);
        resolve();
      };
      this.waiting.add(look);
    });
  }

  private land(flight: Flight): void {
    this.flying.delete(flight);
    for (const look of [...this.waiting]) look();
  }
}

/** Whose turn it is in the queue: an API key, or else an address. */
export function callerOf(c: Context): string {
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
