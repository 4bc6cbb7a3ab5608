// One answer in the making: what was asked, what was generated, when it ends.
import type { LlamaModel } from '../llama/model.ts';
import type { Sampler } from '../llama/sampler.ts';
import type { TokenBytes } from '../llama/tokenize.ts';
import { logprobsOf } from './logprobs.ts';
import { OutputText } from './output.ts';
import type { GenerateRequest, GenerateResult, TextDelta, TokenReport } from './protocol.ts';

export class Generation {
  readonly id: number;
  readonly prompt: readonly number[];
  readonly request: GenerateRequest;
  readonly sampler: Sampler;
  readonly generated: number[] = [];
  cachedTokens = 0;
  drafted = 0;
  accepted = 0;
  cancelled = false;
  /** Set when the answer is complete. */
  finish: 'stop' | 'length' | undefined;
  private readonly model: LlamaModel;
  private readonly bytes: TokenBytes;
  private readonly output: OutputText;
  private readonly reports: TokenReport[] = [];
  private unsent: TextDelta = { text: '' };

  constructor(
    id: number,
    request: GenerateRequest,
    prompt: readonly number[],
    sampler: Sampler,
    shared: { model: LlamaModel; bytes: TokenBytes },
  ) {
    this.id = id;
    this.request = request;
    this.prompt = prompt;
    this.sampler = sampler;
    this.model = shared.model;
    this.bytes = shared.bytes;
    this.output = new OutputText(request.stop);
  }

  /** Takes the next token from a row of logits (which it may change). @returns the token */
  take(logits: Float32Array): number {
    const { request, model } = this;
    const before = request.logprobs === undefined ? undefined : logits.slice();
    if (request.ignoreEnd) for (const id of model.endIds) logits[id] = Number.NEGATIVE_INFINITY;
    const token = this.sampler.pick(logits);
    this.sampler.accept(token);
    this.generated.push(token);
    if (model.endIds.has(token) && !request.ignoreEnd) this.finish = 'stop';
    else this.addText(token, before);
    if (!this.finish && this.generated.length >= request.maxTokens) this.finish = 'length';
    if (this.finish === 'length' || model.endIds.has(token)) this.send(this.output.finish());
    return token;
  }

  /** What was made since the last call, or undefined when there is nothing to send. */
  delta(): TextDelta | undefined {
    const { text, logprobs } = this.unsent;
    if (text === '' && !logprobs) return undefined;
    this.unsent = { text: '' };
    return { text, logprobs };
  }

  result(): GenerateResult {
    return {
      text: this.output.text,
      finishReason: this.finish ?? 'length',
      promptTokens: this.prompt.length,
      cachedTokens: this.cachedTokens,
      completionTokens: this.generated.length,
      tokens: this.generated,
      logprobs: this.request.logprobs === undefined ? undefined : this.reports,
      drafted: this.drafted,
      accepted: this.accepted,
    };
  }

  private addText(token: number, logits: Float32Array | undefined): void {
    if (logits) this.report(token, logits);
    const step = this.output.push(this.bytes.of(token));
    if (step.stopped) this.finish = 'stop';
    this.send(step);
  }

  private send(step: { text: string; stopped: boolean }): void {
    this.unsent.text += step.text;
    if (step.stopped) this.finish = 'stop';
  }

  private report(token: number, logits: Float32Array): void {
    const { logprob, top } = logprobsOf(logits, token, this.request.logprobs ?? 0);
    const bytesOf = (id: number) => [...this.bytes.of(id)];
    const report = {
      token,
      bytes: bytesOf(token),
      logprob,
      top: top.map((each) => ({ ...each, bytes: bytesOf(each.token) })),
    };
    this.reports.push(report);
    this.unsent.logprobs = [...(this.unsent.logprobs ?? []), report];
  }
}
