import { mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import type { GgufMetadata } from '../formats/gguf-metadata.ts';
import { writeGguf } from '../formats/gguf-write.ts';
import { readPeft, writePeft } from '../formats/peft.ts';
import { quantize } from '../formats/quantize.ts';
import { compress } from './compress.ts';

const D = 64;
const FF = 96;
const V = 40;
const TEMPLATE = "{% for m in messages %}{{ m['role'] + ': ' + m['content'] + '<|end|>' }}{% endfor %}";
const random = new Random(3);
const normal = (n: number) => Float32Array.from({ length: n }, () => 0.1 * random.normal());
const folderFor = () => mkdtempSync(join(tmpdir(), 'cupel-compress-'));

function tinyLlama(folder: string): string {
  const path = join(folder, 'tiny.F32.gguf');
  const metadata: GgufMetadata = new Map(
    Object.entries({
      block_count: 1,
      context_length: 64,
      embedding_length: D,
      feed_forward_length: FF,
      vocab_size: V,
      'attention.head_count': 4,
      'attention.head_count_kv': 2,
      'rope.dimension_count': D / 4,
    }).map(([key, value]) => [`llama.${key}`, { type: 'u32', value }] as const),
  );
  metadata.set('general.architecture', { type: 'string', value: 'llama' });
  metadata.set('llama.rope.freq_base', { type: 'f32', value: 10_000 });
  metadata.set('llama.attention.layer_norm_rms_epsilon', { type: 'f32', value: 1e-5 });
  metadata.set('tokenizer.ggml.model', { type: 'string', value: 'gpt2' });
  metadata.set('tokenizer.ggml.pre', { type: 'string', value: 'gpt-2' });
  const tokens = ['<|end|>', ...Array.from({ length: V - 1 }, (_, i) => String.fromCodePoint(0x100 + i))];
  metadata.set('tokenizer.ggml.tokens', { type: 'array', items: 'string', value: tokens });
  metadata.set('tokenizer.ggml.merges', { type: 'array', items: 'string', value: [] });
  metadata.set('tokenizer.ggml.token_type', { type: 'array', items: 'i32', value: tokens.map((_, i) => (i ? 1 : 3)) });
  metadata.set('tokenizer.ggml.eos_token_id', { type: 'u32', value: 0 });
  metadata.set('tokenizer.chat_template', { type: 'string', value: TEMPLATE });
  const shapes: Record<string, number[]> = {
    'token_embd.weight': [V, D],
    'output_norm.weight': [D],
    'blk.0.attn_norm.weight': [D],
    'blk.0.attn_q.weight': [D, D],
    'blk.0.attn_k.weight': [D / 2, D],
    'blk.0.attn_v.weight': [D / 2, D],
    'blk.0.attn_output.weight': [D, D],
    'blk.0.ffn_norm.weight': [D],
    'blk.0.ffn_gate.weight': [FF, D],
    'blk.0.ffn_up.weight': [FF, D],
    'blk.0.ffn_down.weight': [D, FF],
  };
  const tensors = Object.entries(shapes).map(([name, shape]) => {
    const bytes = quantize('F32', normal(shape.reduce((a, b) => a * b, 1)));
    return { name, type: 'F32' as const, shape, read: () => bytes };
  });
  writeGguf(path, metadata, tensors);
  return path;
}

test('the merged file holds W + alpha / rank * B A under Hugging Face names, rotary rows in order', async () => {
  const folder = folderFor();
  const base = openCheckpoint(tinyLlama(folder));
  const rank = 4;
  const module = 'model.layers.0.self_attn.q_proj';
  const pair = { A: normal(rank * D), B: normal(D * rank), inputs: D, outputs: D };
  writePeft(folder, { rank, alpha: 8, base: 'tiny', pairs: new Map([[module, pair]]) });
  expect(readPeft(folder).pairs.get(module)).toEqual(pair);
  const facts = await compress({ base, adapter: folder, types: ['f16', 'q8_0', 'q4_0'], folder });
  expect(facts.files.map(({ name }) => name)).toEqual(['tiny-f16.gguf', 'tiny-q8_0.gguf', 'tiny-q4_0.gguf']);
  const merged = openCheckpoint(join(folder, 'tiny-f16.gguf'));
  const before = base.weights.read(`${module}.weight`);
  const after = merged.weights.read(`${module}.weight`);
  for (let n = 0; n < D; n++) {
    for (let k = 0; k < D; k++) {
      let delta = 0;
      for (let r = 0; r < rank; r++) delta += pair.B[n * rank + r] * pair.A[r * D + k];
      expect(after[n * D + k]).toBeCloseTo(before[n * D + k] + 2 * delta, 3);
    }
  }
  expect(merged.chatTemplate).toBe(TEMPLATE);
  expect(readFileSync(join(folder, 'tiny-q8_0.Modelfile'), 'utf8')).toContain('FROM ./tiny-q8_0.gguf\n');
  const [f16, q8, q4] = facts.files.map(({ relativeError }) => relativeError);
  expect(f16).toBeLessThan(0.001);
  expect(q8).toBeLessThan(0.01);
  expect(q4).toBeLessThan(0.12);
});

test('an adapter of another model is refused with the module named', async () => {
  const folder = folderFor();
  const base = openCheckpoint(tinyLlama(folder));
  const pair = { A: normal(8), B: normal(8), inputs: 8, outputs: 8 };
  writePeft(folder, { rank: 1, alpha: 1, base: 'tiny', pairs: new Map([['model.layers.9.mlp.up_proj', pair]]) });
  await expect(compress({ base, adapter: folder, types: ['f16'], folder })).rejects.toThrow(/no such module/);
});

test('an unknown type is refused', async () => {
  const folder = folderFor();
  await expect(compress({ base: openCheckpoint(tinyLlama(folder)), types: ['q9_9'], folder })).rejects.toThrow(/q9_9/);
});
