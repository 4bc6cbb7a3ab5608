// What llama.cpp computes from a GGUF file: logits of every position, and greedy continuations.
import { Batch } from '../src/serve/llama/batch.ts';
import { LlamaContext } from '../src/serve/llama/context.ts';
import { loadLlama } from '../src/serve/llama/library.ts';
import { loadModel } from '../src/serve/llama/model.ts';

export interface LlamaRun {
  /** Logits of each position of `ids`, [ids, vocabulary]. */
  logits(ids: readonly number[]): Float32Array[];
  /** The ids that follow, always taking the largest logit. */
  greedy(ids: readonly number[], count: number): number[];
  close(): void;
}

/** @throws CupelError when llama.cpp cannot load the file */
export function openInLlama(path: string, contextTokens = 256): LlamaRun {
  const llama = loadLlama();
  const model = loadModel(llama, path);
  const options = { contextTokens, sequences: 1, threads: 1, batchTokens: contextTokens, outputs: contextTokens };
  const context = new LlamaContext(llama, model, options);
  const batch = new Batch(llama, contextTokens);
  const decode = (ids: readonly number[], from: number): Float32Array[] => {
    batch.clear();
    ids.forEach((id, i) => {
      batch.add(id, from + i, 0, true);
    });
    context.decode(batch);
    const all = context.logits(ids.length);
    return ids.map((_, i) => all.slice(i * model.vocabSize, (i + 1) * model.vocabSize));
  };
  return {
    logits(ids) {
      context.cutBack(0, 0);
      return decode(ids, 0);
    },
    greedy(ids, count) {
      context.cutBack(0, 0);
      const out = [largest(decode(ids, 0).at(-1)!)];
      while (out.length < count) out.push(largest(decode([out.at(-1)!], ids.length + out.length - 1)[0]));
      return out;
    },
    close() {
      batch.free();
      context.free();
      model.free();
    },
  };
}

export function largest(values: Float32Array): number {
  let best = 0;
  for (let i = 1; i < values.length; i++) if (values[i] > values[best]) best = i;
  return best;
}
