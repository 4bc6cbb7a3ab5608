// Answers from a closed set: the model only decides where labels part; once one is left, the answer is known without writing it out.
import { logSumExp } from './logprobs.ts';

export interface Label {
  text: string;
  tokens: readonly number[];
}

export class LabelWalk {
  /** Logarithm of the probability that the model gives the way taken among the ways open. */
  logprob = 0;
  private open: readonly Label[];
  private at = 0;
  private readonly endIds: ReadonlySet<number>;

  constructor(labels: readonly Label[], endIds: ReadonlySet<number>) {
    this.open = labels;
    this.endIds = endIds;
  }

  /** The answer, once it is certain. */
  get answer(): Label | undefined {
    return this.open.length === 1 ? this.open[0] : undefined;
  }

  /** Tokens that all open labels go on with. */
  forced(): number[] {
    const [first, ...others] = this.open;
    let end = this.at;
    while (end < first.tokens.length && others.every((label) => label.tokens[end] === first.tokens[end])) end++;
    const tokens = first.tokens.slice(this.at, end);
    this.at = end;
    return tokens;
  }

  /** Forbids everything but the next tokens of open labels and, where one is complete, the end. */
  mask(logits: Float32Array): void {
    const allowed = new Map<number, number>();
    for (const { tokens } of this.open) {
      for (const id of this.at < tokens.length ? [tokens[this.at]] : this.endIds) allowed.set(id, logits[id]);
    }
    logits.fill(Number.NEGATIVE_INFINITY);
    for (const [id, logit] of allowed) logits[id] = logit;
  }

  /** @param logits masked */
  take(token: number, logits: Float32Array): void {
    this.logprob += logits[token] - logSumExp(logits);
    this.open = this.open.filter(({ tokens }) =>
      this.at < tokens.length ? tokens[this.at] === token : this.endIds.has(token),
    );
    this.at++;
  }
}
