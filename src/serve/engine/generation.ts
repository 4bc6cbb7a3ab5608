// One answer in the making: what was asked, what was generated, when it ends.
import type { LlamaModel } from '../llama/model.ts';
import type { Sampler } from '../llama/sampler.ts';
import type { TokenBytes } from '../llama/tokenize.ts';
import { Drafter, type NextToken } from './draft.ts';
import type { LabelWalk } from './labels.ts';
import { logprobsOf } from './logprobs.ts';
import { OutputText } from './output.ts';
import type { GenerateRequest, GenerateResult, TextDelta, TokenReport } from './protocol.ts';

export class Generation {
  readonly id: number;
  readonly prompt: readonly number[];
  /** What has to be in the cache before it goes on: the prompt, or of one that moved also what was generated. */
  pending: readonly number[];
  readonly request: GenerateRequest;
  readonly sampler: Sampler;
  readonly generated: number[] = [];
  readonly promptTokens: number;
  /** First tokens of the prompt that other prompts had too. */
  sharedPrefix = 0;
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
  private readonly labels: LabelWalk | undefined;
  private readonly drafter: Drafter;
  private unmasked: Float32Array | undefined;
  private unsent: TextDelta = { text: '' };

  constructor(
    id: number,
    request: GenerateRequest,
    prompt: readonly number[],
    sampler: Sampler,
    shared: { model: LlamaModel; bytes: TokenBytes; labels?: LabelWalk; next?: NextToken },
  ) {
    this.id = id;
    this.request = request;
    // what all labels begin with is evaluated with the prompt
    this.prompt = shared.labels ? [...prompt, ...shared.labels.forced()] : prompt;
    this.pending = this.prompt;
    this.promptTokens = prompt.length;
    this.sampler = sampler;
    this.model = shared.model;
    this.bytes = shared.bytes;
    this.output = new OutputText(request.stop);
    this.labels = shared.labels;
    this.drafter = new Drafter(prompt, shared.next);
  }

  /**
   * Takes tokens from rows of logits, the first after what was evaluated, the others after drafts, until a draft was wrong.
   * @returns tokens to evaluate next: those taken but not evaluated
   */
  advance(rows: readonly Float32Array[], drafts: readonly number[]): number[] {
    for (const [at, logits] of rows.entries()) {
      const next = this.labels ? this.takeLabel(logits, this.labels) : [this.take(logits)];
      if (this.finish || at === drafts.length) return this.checked(drafts.length, at, next);
      if (next[0] !== drafts[at]) return this.checked(drafts.length, at, next);
    }
    return [];
  }

  private checked(drafted: number, accepted: number, next: number[]): number[] {
    if (drafted === 0) return next;
    this.drafted += drafted;
    this.accepted += accepted;
    this.drafter.checked(drafted, accepted);
    return next;
  }

  /**
   * Tokens that may come after the last one taken, for the model to check.
   * @param room most of them
   */
  propose(room: number): number[] {
    if (this.labels || this.finish) return [];
    return this.drafter.propose(Math.min(room, this.request.maxTokens - this.generated.length - 1));
  }

  private takeLabel(logits: Float32Array, labels: LabelWalk): number[] {
    if (this.request.logprobs !== undefined) this.unmasked = logits.slice();
    labels.mask(logits);
    const token = this.sampler.pick(logits);
    this.sampler.accept(token);
    labels.take(token, logits);
    if (this.unmasked) this.report(token, this.unmasked);
    const { answer } = labels;
    if (!answer) return [token, ...labels.forced()];
    this.generated.push(...answer.tokens);
    this.send(this.output.push(Buffer.from(answer.text)));
    this.send(this.output.finish());
    this.finish = 'stop';
    return [];
  }

  /** Takes the next token from a row of logits (which it may change). @returns the token */
  private take(logits: Float32Array): number {
    const { request, model } = this;
    const before = request.logprobs === undefined ? undefined : logits.slice();
    if (request.ignoreEnd) for (const id of model.endIds) logits[id] = Number.NEGATIVE_INFINITY;
    const token = this.sampler.pick(logits);
    this.sampler.accept(token);
    this.generated.push(token);
    this.drafter.took(token);
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
      promptTokens: this.promptTokens,
      cachedTokens: Math.min(this.cachedTokens, this.promptTokens),
      completionTokens: this.generated.length,
      tokens: this.generated,
      logprobs: this.request.logprobs === undefined ? undefined : this.reports,
      drafted: this.drafted,
      accepted: this.accepted,
      confidence: this.labels && Math.exp(this.labels.logprob),
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
