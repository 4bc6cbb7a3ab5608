// Log probabilities of given continuations of one prompt: what multiple-choice benchmarks decide by.
import type { Batch } from '../llama/batch.ts';
import type { LlamaContext } from '../llama/context.ts';
import { logSumExp } from './logprobs.ts';

/** Sum over the tokens of a continuation, in natural logarithms; `greedy`: each of them was the likeliest. */
export interface Likelihood {
  logprob: number;
  tokens: number;
  greedy: boolean;
}

interface Parts {
  context: LlamaContext;
  batch: Batch;
  vocabSize: number;
  /** Rows of logits one decode may give. */
  outputs: number;
}

/** The prompt is evaluated once for all continuations, on sequence 0, whose cache must be empty and is left so. */
export function likelihoods(
  parts: Parts,
  prompt: readonly number[],
  continuations: readonly (readonly number[])[],
): Likelihood[] {
  const last = evaluatePrompt(parts, prompt);
  const results = continuations.map((tokens) => {
    const rows = [last, ...restRows(parts, prompt, tokens)];
    const each = tokens.map((token, i) => tokenLikelihood(rows[i], token));
    return {
      logprob: each.reduce((sum, { logprob }) => sum + logprob, 0),
      tokens: tokens.length,
      greedy: each.every(({ greedy }) => greedy),
    };
  });
  parts.context.cutBack(0, 0);
  return results;
}

/** Logits after the prompt's last token. */
function evaluatePrompt({ context, batch, vocabSize }: Parts, prompt: readonly number[]): Float32Array {
  for (let from = 0; from < prompt.length; from += batch.capacity) {
    batch.clear();
    const end = Math.min(prompt.length, from + batch.capacity);
    for (let at = from; at < end; at++) batch.add(prompt[at], at, 0, at === prompt.length - 1);
    context.decode(batch);
  }
  return context.logits(1).slice(0, vocabSize);
}

/** Logits after each token of the continuation but the last. */
function restRows(parts: Parts, prompt: readonly number[], tokens: readonly number[]): Float32Array[] {
  const { context, batch, vocabSize, outputs } = parts;
  const rows: Float32Array[] = [];
  const length = tokens.length - 1;
  if (length < 1) return rows;
  // recurrent state cannot be cut back to the prompt
  if (context.cutBack(0, prompt.length) === 0) evaluatePrompt(parts, prompt);
  for (let from = 0; from < length; from += outputs) {
    batch.clear();
    const end = Math.min(length, from + outputs);
    for (let at = from; at < end; at++) batch.add(tokens[at], prompt.length + at, 0, true);
    context.decode(batch);
    const logits = context.logits(end - from);
    for (let i = 0; i < end - from; i++) rows.push(logits.slice(i * vocabSize, (i + 1) * vocabSize));
  }
  context.cutBack(0, prompt.length);
  return rows;
}

function tokenLikelihood(logits: Float32Array, token: number): { logprob: number; greedy: boolean } {
  return { logprob: logits[token] - logSumExp(logits), greedy: logits.every((logit) => logit <= logits[token]) };
}
