// What the gateway's routes share: who may call, what is recorded of a call, what is counted and logged.
import type { IncomingHttpHeaders, OutgoingHttpHeaders } from 'node:http';
import { apiOf, type Exchange, newId } from '../exchange.ts';
import type { Price } from '../price.ts';
import type { ForwardPolicy } from '../proxy/forward.ts';
import type { Upstream } from '../proxy/upstream.ts';
import { type Tokens, tokensOf } from '../proxy/usage.ts';
import type { Prepared, Recorder } from '../recorder.ts';
import type { ApiKey } from '../store/store.ts';
import type { Labels } from './headers.ts';
import { isGatewayKey, type KeyRing } from './keys.ts';
import type { Limits } from './limits.ts';
import type { Log } from './log.ts';
import type { Metrics } from './metrics.ts';
import { Problem } from './problem.ts';
import type { Ending } from './relay.ts';
import type { ExchangeSpan, Tracing } from './tracing.ts';

/** `keys`: callers need a key of the gateway. `keys-once-made`: as soon as one was ever made. `open`: never. */
export type Access = 'keys' | 'keys-once-made' | 'open';

export interface ServiceParts {
  recorder: Recorder;
  upstreams: readonly Upstream[];
  policy: ForwardPolicy;
  price: Price;
  keys: KeyRing;
  limits: Limits;
  metrics: Metrics;
  log: Log;
  tracing: Tracing | undefined;
  access: Access;
  maxRequestBytes: number;
}

/** One request as it arrived. */
export interface Arrival {
  id: string;
  /** Milliseconds on the clock of `performance.now()`. */
  startedAt: number;
  at: string;
  endpoint: string;
  model: string | null;
  labels: Labels;
  key: ApiKey | undefined;
  span: ExchangeSpan | undefined;
}

/** Who calls: a key of the gateway, or nobody in particular with an upstream key of their own. */
export interface Caller {
  key: ApiKey | undefined;
  /** `authorization` or Azure's `api-key` of the caller's own, for an upstream without a key. */
  credentials: OutgoingHttpHeaders;
}

export class Service {
  readonly parts: ServiceParts;

  constructor(parts: ServiceParts) {
    this.parts = parts;
  }

  /** @throws Problem 401 without a valid key where one is needed */
  identify(headers: IncomingHttpHeaders): Caller {
    const { keys, access } = this.parts;
    const own = headers['x-cupel-key'];
    const azure = headers['api-key'];
    const bearer = /^Bearer\s+(\S+)$/i.exec(headers.authorization ?? '')?.[1];
    const given = [own, bearer, azure].find((text) => typeof text === 'string' && isGatewayKey(text)) as string;
    const key = given === undefined ? undefined : keys.find(given);
    if (given !== undefined && !key && keys.known)
      throw new Problem(401, 'invalid_api_key', 'this API key is unknown or was revoked');
    if (!key && access !== 'open' && !keys.known) {
      throw new Problem(503, 'keys_unknown', 'the API keys are not known yet; the database is away', 5);
    }
    if (!key && (access === 'keys' || (access === 'keys-once-made' && keys.any))) {
      throw new Problem(401, 'missing_api_key', 'an API key of this gateway is needed: Authorization: Bearer cupel-…');
    }
    const credentials: OutgoingHttpHeaders = {};
    if (bearer !== undefined && !isGatewayKey(bearer)) credentials.authorization = headers.authorization;
    if (typeof azure === 'string' && !isGatewayKey(azure)) credentials['api-key'] = azure;
    return { key, credentials };
  }

  /** Applies the key's limits. @throws Problem 429 or 403 */
  admit(key: ApiKey | undefined, model: string | null): void {
    if (!key) return;
    const { price, upstreams } = this.parts;
    const priced = () => upstreams.every((upstream) => price(upstream.model ?? model, PRICED) !== null);
    if (key.usd_per_day !== null && !priced()) {
      throw new Problem(403, 'unpriced_model', `the key "${key.name}" has a money limit, and ${model} has no price`);
    }
    this.parts.limits.admit(key);
  }

  arrive(endpoint: string, model: string | null, labels: Labels, caller: Caller, span?: ExchangeSpan): Arrival {
    const now = Date.now();
    return {
      id: newId('ex', now),
      startedAt: performance.now(),
      at: new Date(now).toISOString(),
      endpoint,
      model,
      labels,
      key: caller.key,
      span,
    };
  }

  /** Records, counts and logs an ending. False when it could not be recorded; the caller is answered all the same. */
  async finish(arrival: Arrival, request: Prepared, ending: Ending): Promise<boolean> {
    const { recorder, metrics, log, limits } = this.parts;
    const exchange = this.#exchangeOf(arrival, request, ending);
    let recorded = true;
    let redactions = request.counts;
    try {
      const response = recorder.prepare(ending.response);
      redactions = { ...redactions, ...response.counts };
      await recorder.record(exchange, request, response);
    } catch (error) {
      recorded = false;
      metrics.unrecorded.inc();
      log.error({ id: exchange.id, why: (error as Error).message }, 'not recorded');
    }
    if (arrival.key) limits.spend(arrival.key, exchange.usd ?? exchange.assumed_usd ?? 0);
    // nobody waits for what is only told
    setImmediate(() => {
      metrics.add({ ...exchange, redactions });
      arrival.span?.end(exchange);
      log.info(logLine(exchange, recorded), 'exchange');
    });
    return recorded;
  }

  #exchangeOf(
    arrival: Arrival,
    request: Prepared,
    ending: Ending,
  ): Omit<Exchange, 'request' | 'response' | 'redactions'> {
    const model = ending.model ?? arrival.model;
    const tokens = tokensOf(ending.response);
    const usd = this.parts.price(model, withoutAnswer(arrival.endpoint, tokens));
    const since = (at: number) => Math.round((at - arrival.startedAt) * 1000) / 1000;
    const id = (ending.response as { id?: unknown } | null)?.id;
    return {
      id: arrival.id,
      at: arrival.at,
      endpoint: arrival.endpoint,
      model: arrival.model,
      upstream: ending.upstream,
      attempts: ending.attempts,
      status: ending.status,
      outcome: ending.outcome,
      streamed: ending.streamed,
      completion_id: typeof id === 'string' ? id : null,
      ...tokens,
      latency_ms: since(ending.endedAt),
      first_token_ms: ending.begunAt === null ? null : since(ending.begunAt),
      usd,
      assumed_usd: usd === null && arrival.key ? this.#assumedUsd(model, request, ending) : null,
      key_id: arrival.key?.id ?? null,
      user_id: arrival.labels.user,
      tags: arrival.labels.tags,
    };
  }

  /** For the money limit where an answer reports no usage (a stream without `include_usage`): four characters a token. */
  #assumedUsd(model: string | null, request: Prepared, ending: Ending): number {
    if (ending.status >= 400) return 0;
    const answered = ending.response === null ? 0 : JSON.stringify(ending.response).length;
    const tokens = {
      prompt_tokens: Math.ceil(request.json.length / 4),
      completion_tokens: Math.ceil(answered / 4),
      cached_tokens: 0,
      reasoning_tokens: 0,
    };
    return this.parts.price(model, tokens) ?? 0;
  }
}

/** Embeddings have no tokens of an answer, and do not say so. */
function withoutAnswer(endpoint: string, tokens: Tokens): Tokens {
  return apiOf(endpoint) === 'embeddings' ? { ...tokens, completion_tokens: tokens.completion_tokens ?? 0 } : tokens;
}

const PRICED = { prompt_tokens: 1, completion_tokens: 1, cached_tokens: 0, reasoning_tokens: 0 };

function logLine(exchange: Omit<Exchange, 'request' | 'response' | 'redactions'>, recorded: boolean) {
  const { id, endpoint, model, upstream, attempts, status, outcome, latency_ms, first_token_ms, key_id } = exchange;
  return { id, endpoint, model, upstream, attempts, status, outcome, latency_ms, first_token_ms, key_id, recorded };
}
