// Embeddings: the mean of a text's last hidden states, of length 1, from a context of their own.
import koffi from 'koffi';
import { Batch } from '../llama/batch.ts';
import { LlamaContext } from '../llama/context.ts';
import type { Llama } from '../llama/library.ts';
import type { LlamaModel } from '../llama/model.ts';
import { Refused } from './refused.ts';

/** A text is evaluated in one piece. */
const MOST_TOKENS = 2048;

export class Embedder {
  private readonly context: LlamaContext;
  private readonly batch: Batch;
  private readonly width: number;
  private readonly most: number;

  constructor(llama: Llama, model: LlamaModel, threads: number) {
    this.most = Math.min(MOST_TOKENS, model.trainedContext);
    this.width = llama.embeddingOutSize(model.pointer);
    const tokens = this.most;
    this.context = new LlamaContext(llama, model, {
      contextTokens: tokens,
      sequences: 1,
      threads,
      batchTokens: tokens,
      outputs: tokens,
      embeddings: true,
    });
    this.batch = new Batch(llama, tokens);
  }

  /** @throws Refused for a text that is empty or too long */
  embed(tokens: readonly number[]): Float32Array {
    if (tokens.length === 0 || tokens.length > this.most) {
      const message = `an input has ${tokens.length} tokens; an embedding takes 1 to ${this.most}`;
      throw new Refused('context_length_exceeded', message);
    }
    this.context.cutBack(0, 0);
    this.batch.clear();
    for (const [at, token] of tokens.entries()) this.batch.add(token, at, 0, true);
    this.context.decode(this.batch);
    const mean = new Float32Array(koffi.view(this.context.embeddingOf(0), this.width * 4));
    const length = Math.hypot(...mean) || 1;
    return mean.map((value) => value / length);
  }

  free(): void {
    this.batch.free();
    this.context.free();
  }
}
