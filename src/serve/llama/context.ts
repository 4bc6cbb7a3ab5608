// A llama.cpp context: KV cache of several sequences, decoding of batches, logits.
import koffi from 'koffi';
import { CupelError } from '../../base/errors.ts';
import type { Batch } from './batch.ts';
import type { Pointer } from './layout.ts';
import type { Llama } from './library.ts';
import type { LlamaModel } from './model.ts';

export interface ContextOptions {
  /** Tokens each sequence can hold; rounded up to a multiple of 256. */
  contextTokens: number;
  sequences: number;
  threads: number;
  /**
   * One cache of so many tokens for all sequences, in which what they share is held and attended to once, instead of a cache for
   * each. What one holds beside the shared part, the others walk over.
   */
  sharedTokens?: number;
  /** Most tokens of one decode call. */
  batchTokens: number;
  /** Most rows of logits of one decode call. */
  outputs: number;
  /** Gives the mean hidden state of a sequence instead of logits; a batch is then evaluated in one piece. */
  embeddings?: boolean;
}

const MEAN_POOLING = 1;

/** What one thread decodes with. Usually sequences have KV caches of their own: attention of one never walks over another's. */
export class LlamaContext {
  readonly contextTokens: number;
  private readonly llama: Llama;
  private readonly model: LlamaModel;
  private readonly pointer: Pointer;
  private readonly memory: Pointer;
  private adapter: Pointer = null;

  /** @throws CupelError when there is not enough memory */
  constructor(llama: Llama, model: LlamaModel, options: ContextOptions) {
    this.llama = llama;
    this.model = model;
    const perSequence = Math.ceil(options.contextTokens / 256) * 256;
    this.pointer = llama.initContext(model.pointer, {
      ...llama.contextDefaults(),
      n_ctx: options.sharedTokens ?? perSequence * options.sequences,
      n_batch: options.batchTokens,
      n_ubatch: options.embeddings ? options.batchTokens : Math.min(512, options.batchTokens),
      n_seq_max: options.sequences,
      n_outputs_max: options.outputs,
      n_outputs_max_per_seq: 0,
      n_threads: options.threads,
      n_threads_batch: options.threads,
      kv_unified: options.sharedTokens !== undefined,
      ...(options.embeddings ? { embeddings: true, pooling_type: MEAN_POOLING } : {}),
    });
    if (!this.pointer) throw noMemory(model, perSequence, options.sequences);
    this.memory = llama.memoryOf(this.pointer);
    this.contextTokens = perSequence;
  }

  /** Runs one batch. @throws CupelError when llama.cpp refuses it */
  decode(batch: Batch): void {
    const code = this.llama.decode(this.pointer, batch.struct);
    if (code === 0) return;
    throw new CupelError(`llama.cpp could not evaluate a batch of ${batch.size} tokens (code ${code})`);
  }

  /** Logits of the last decode, [rows, vocabulary]; valid until the next decode. */
  logits(rows: number): Float32Array {
    const pointer = this.llama.logits(this.pointer);
    return new Float32Array(koffi.view(pointer, rows * this.model.vocabSize * 4));
  }

  /** The pooled embedding of a sequence of the last decode; valid until the next. */
  embeddingOf(sequence: number): Pointer {
    return this.llama.sequenceEmbedding(this.pointer, sequence);
  }

  /** Drops what a sequence holds from `position` on. @returns how many tokens it still holds */
  cutBack(sequence: number, position: number): number {
    if (this.llama.removeTokens(this.memory, sequence, position, -1)) return position;
    // recurrent state cannot be cut in the middle
    this.llama.removeTokens(this.memory, sequence, -1, -1);
    return 0;
  }

  /** Replaces what `target` holds by what `source` holds, all of it, or in a shared cache its first `tokens`. */
  copySequence(source: number, target: number, tokens = -1): void {
    this.llama.removeTokens(this.memory, target, -1, -1);
    this.llama.copySequence(this.memory, source, target, tokens < 0 ? -1 : 0, tokens);
  }

  /** Uses one LoRA adapter (or none) from the next decode on. */
  useAdapter(adapter: Pointer): void {
    if (adapter === this.adapter) return;
    const code = adapter
      ? this.llama.setAdapters(this.pointer, BigUint64Array.of(adapter), 1, Float32Array.of(1))
      : this.llama.setAdapters(this.pointer, null, 0, null);
    if (code !== 0) throw new CupelError(`llama.cpp could not switch the LoRA adapter (code ${code})`);
    this.adapter = adapter;
  }

  free(): void {
    this.llama.freeContext(this.pointer);
  }
}

function noMemory(model: LlamaModel, contextTokens: number, sequences: number): CupelError {
  const megabytes = Math.ceil((contextTokens * sequences * model.cacheBytesPerToken) / 2 ** 20);
  return new CupelError(`there is no memory for ${sequences} contexts of ${contextTokens} tokens (${megabytes} MiB)`, {
    remedy: 'lower --parallel or --context',
  });
}
