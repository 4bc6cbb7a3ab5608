// What llama.cpp's prebuilt library decodes when nothing stands above it: the bound that the server is measured against.
import { Batch } from '../../src/serve/llama/batch.ts';
import { LlamaContext } from '../../src/serve/llama/context.ts';
import { loadLlama } from '../../src/serve/llama/library.ts';
import { loadModel } from '../../src/serve/llama/model.ts';
import { indexOfLargest } from '../../src/serve/llama/sampler.ts';
import { tokenize } from '../../src/serve/llama/tokenize.ts';

/** @returns tokens/s of decoding alone (prompts not counted), as lab's koffi-decode-prototype measures it */
export function rawDecode(path: string, threads: number, sequences: number, steps = 128): number {
  const llama = loadLlama();
  const model = loadModel(llama, path);
  const context = new LlamaContext(llama, model, {
    contextTokens: 1024,
    sequences,
    threads,
    batchTokens: 1024,
    outputs: sequences,
  });
  const batch = new Batch(llama, 1024);
  const prompt = tokenize(llama, model, 'Write a long story about a dog. '.repeat(8));
  const pick = (row: number, rows: number) =>
    indexOfLargest(context.logits(rows).subarray(row * model.vocabSize, (row + 1) * model.vocabSize));
  const next = Array.from({ length: sequences }, (_, sequence) => {
    batch.clear();
    for (const [at, token] of prompt.entries()) batch.add(token, at, sequence, at === prompt.length - 1);
    context.decode(batch);
    return pick(0, 1);
  });
  const started = performance.now();
  for (let step = 0; step < steps; step++) {
    batch.clear();
    for (const [sequence, token] of next.entries()) batch.add(token, prompt.length + step, sequence, true);
    context.decode(batch);
    for (let sequence = 0; sequence < sequences; sequence++) next[sequence] = pick(sequence, sequences);
  }
  const seconds = (performance.now() - started) / 1000;
  batch.free();
  context.free();
  model.free();
  return (sequences * steps) / seconds;
}
