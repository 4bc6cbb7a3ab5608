// A random llama, small enough for tests that need no downloaded weights.
import { Random } from '../base/random.ts';
import { llama } from '../models/llama.ts';
import type { BaseModel } from './step-graph.ts';

/** Two layers of width 32 over 64 tokens; equal seeds give equal weights. */
export function tinyModel(seed = 1, heads = { num_attention_heads: 4, num_key_value_heads: 2 }): BaseModel {
  const config = llama.parseConfig({
    model_type: 'llama',
    hidden_size: 32,
    intermediate_size: 64,
    num_hidden_layers: 2,
    ...heads,
    vocab_size: 64,
    max_position_embeddings: 256,
    rms_norm_eps: 1e-5,
    tie_word_embeddings: true,
  });
  const random = new Random(seed);
  const weights = new Map<string, { shape: readonly number[]; data: Float32Array }>();
  for (const [name, shape] of llama.weightShapes(config)) {
    const norm = shape.length === 1;
    const size = shape.reduce((a, b) => a * b, 1);
    const data = Float32Array.from({ length: size }, () => (norm ? 1 : 0) + random.normal() * 0.2);
    weights.set(name, { shape, data });
  }
  const find = (name: string) => weights.get(name)!;
  return {
    family: llama as unknown as BaseModel['family'],
    config,
    weights: { names: () => weights.keys(), shape: (name) => find(name).shape, read: (name) => find(name).data },
  };
}
