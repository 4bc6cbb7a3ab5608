// Prometheus metrics of the gateway: counts, latencies, tokens, money, and how far the store is behind.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client';
import { apiOf, type Exchange } from '../exchange.ts';
import type { Recorder } from '../recorder.ts';

export class Metrics {
  readonly registry = new Registry();
  readonly inFlight: Gauge;
  readonly refused: Counter<'code'>;
  readonly unrecorded: Counter;
  readonly feedback: Counter;
  #exchanges: Counter<'endpoint' | 'upstream' | 'status' | 'outcome'>;
  #seconds: Histogram<'endpoint' | 'upstream'>;
  #firstToken: Histogram<'endpoint' | 'upstream'>;
  #retries: Counter<'upstream'>;
  #tokens: Counter<'kind'>;
  #usd: Counter;
  #redactions: Counter<'kind'>;

  constructor(recorder: Pick<Recorder, 'status'>) {
    const registers = [this.registry];
    const counter = <T extends string>(name: string, help: string, labelNames: T[] = []) =>
      new Counter({ name: `cupel_gateway_${name}`, help, labelNames, registers });
    const seconds = <T extends string>(name: string, help: string, labelNames: T[]) =>
      new Histogram({ name: `cupel_gateway_${name}`, help, labelNames, registers, buckets: BUCKETS });
    this.inFlight = new Gauge({ name: 'cupel_gateway_in_flight', help: 'Requests under way', registers });
    this.refused = counter('refused_total', 'Requests that the gateway itself refused', ['code']);
    this.unrecorded = counter(
      'unrecorded_total',
      'Exchanges answered but not recorded: the journal was full or failed',
    );
    this.feedback = counter('feedback_total', 'Pieces of feedback taken');
    this.#exchanges = counter('exchanges_total', 'Exchanges', ['endpoint', 'upstream', 'status', 'outcome']);
    this.#seconds = seconds('seconds', 'Seconds from a request to the end of its answer', ['endpoint', 'upstream']);
    this.#firstToken = seconds('first_byte_seconds', 'Seconds to the first byte of the answer', [
      'endpoint',
      'upstream',
    ]);
    this.#retries = counter('retries_total', 'Requests sent upstream again', ['upstream']);
    this.#tokens = counter('tokens_total', 'Tokens as the upstreams report them', ['kind']);
    this.#usd = counter('usd_total', 'US dollars by the price table');
    this.#redactions = counter('redactions_total', 'Secrets and personal data replaced', ['kind']);
    this.#storeGauges(recorder);
    collectDefaultMetrics({ register: this.registry });
  }

  add(exchange: Omit<Exchange, 'request' | 'response'>): void {
    const api = apiOf(exchange.endpoint);
    const endpoint = KNOWN.has(api) ? api : 'other';
    const upstream = exchange.upstream ?? 'none';
    this.#exchanges.inc({ endpoint, upstream, status: exchange.status, outcome: exchange.outcome });
    this.#seconds.observe({ endpoint, upstream }, exchange.latency_ms / 1000);
    if (exchange.first_token_ms !== null) {
      this.#firstToken.observe({ endpoint, upstream }, exchange.first_token_ms / 1000);
    }
    if (exchange.attempts > 1) this.#retries.inc({ upstream }, exchange.attempts - 1);
    for (const kind of ['prompt', 'cached', 'completion', 'reasoning'] as const) {
      const count = exchange[`${kind}_tokens`];
      if (count) this.#tokens.inc({ kind }, count);
    }
    if (exchange.usd) this.#usd.inc(exchange.usd);
    for (const [kind, count] of Object.entries(exchange.redactions)) this.#redactions.inc({ kind }, count);
  }

  #storeGauges(recorder: Pick<Recorder, 'status'>): void {
    const registers = [this.registry];
    // all gauges are read at once: one question for all of them
    let asked: Promise<Status> | undefined;
    const ask = () => {
      asked ??= recorder.status().finally(() => {
        asked = undefined;
      });
      return asked;
    };
    const gauge = (name: string, help: string, value: (status: Status) => number) =>
      new Gauge({
        name: `cupel_store_${name}`,
        help,
        registers,
        async collect() {
          this.set(value(await ask()));
        },
      });
    gauge('waiting_bytes', 'Bytes of the journal that are not dropped yet', (status) => status.waitingBytes);
    gauge('stored', 'Records taken over into the store since the start', (status) => status.stored);
    gauge('rejected', 'Records that the database refused since the start', (status) => status.rejected);
    gauge('damaged', 'Torn or damaged lines of the journal since the start', (status) => status.damaged);
    gauge('connected', '1 while the database answers', (status) => (status.connected ? 1 : 0));
  }
}

type Status = Awaited<ReturnType<Recorder['status']>>;

/** Seconds: from a fast local model to a long answer. */
const BUCKETS = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

/** A caller cannot make new label values. */
const KNOWN = new Set(['chat/completions', 'completions', 'embeddings', 'responses', 'models']);
