// GET /metrics: requests, tokens, time to first token and load, for Prometheus.
import { Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { GenerateResult } from './engine/protocol.ts';

const SECONDS = [0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120];

export class Metrics {
  readonly registry = new Registry();
  private readonly requests = this.counter('cupel_requests_total', 'Answered requests by route and status', [
    'route',
    'status',
  ]);
  private readonly tokens = this.counter('cupel_tokens_total', 'Tokens by model and kind', ['model', 'kind']);
  private readonly answers = this.counter('cupel_answers_total', 'Generated answers by model and why they ended', [
    'model',
    'reason',
  ]);
  private readonly firstToken = this.histogram('cupel_first_token_seconds', 'Time from admission to the first text');
  private readonly duration = this.histogram('cupel_answer_seconds', 'Time from admission to the whole answer');

  answered(route: string, status: number): void {
    this.requests.inc({ route, status: String(status) });
  }

  began(model: string, seconds: number): void {
    this.firstToken.observe({ model }, seconds);
  }

  generated(model: string, result: GenerateResult, seconds: number): void {
    const { promptTokens, cachedTokens, completionTokens, drafted, accepted } = result;
    const kinds = { prompt: promptTokens, cached: cachedTokens, completion: completionTokens, drafted, accepted };
    for (const [kind, count] of Object.entries(kinds)) this.tokens.inc({ model, kind }, count);
    this.answers.inc({ model, reason: result.finishReason });
    this.duration.observe({ model }, seconds);
  }

  /** @param load what is running and waiting now, by model */
  watch(load: () => { model: string; running: number; waiting: number }[]): void {
    for (const state of ['running', 'waiting'] as const) {
      new Gauge({
        name: `cupel_requests_${state}`,
        help: `Requests ${state} now`,
        labelNames: ['model'],
        registers: [this.registry],
        collect() {
          this.reset();
          for (const each of load()) this.set({ model: each.model }, each[state]);
        },
      });
    }
  }

  private counter<L extends string>(name: string, help: string, labelNames: L[]): Counter<L> {
    return new Counter({ name, help, labelNames, registers: [this.registry] });
  }

  private histogram(name: string, help: string): Histogram<'model'> {
    return new Histogram({ name, help, labelNames: ['model'], buckets: SECONDS, registers: [this.registry] });
  }
}
