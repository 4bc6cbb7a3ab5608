// A folder that is written, whole or in shards, is read back as the same model.
import { mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { writeTinyFolder } from '../../test/tiny-folder.ts';
import { writeTinyStudent } from '../../test/tiny-student.ts';
import { openCheckpoint } from './checkpoint.ts';
import { writeHuggingFaceFolder } from './huggingface-write.ts';
import type { WeightSource } from './weights.ts';

const home = mkdtempSync(join(tmpdir(), 'cupel-folder-'));
afterAll(() => rmSync(home, { recursive: true }));

const valuesOf = (weights: WeightSource) =>
  Object.fromEntries([...weights.names()].sort().map((name) => [name, [...weights.read(name)]]));

it('turns a GGUF file into a folder, in shards, with tokenizer and template', () => {
  const path = join(home, 'tiny.gguf');
  writeTinyStudent(path);
  const model = openCheckpoint(path);
  const folder = join(home, 'sharded');
  writeHuggingFaceFolder(folder, model, { weights: model.weights, dtype: 'F32', shardBytes: 60_000 });
  expect(readdirSync(folder).filter((name) => name.endsWith('.safetensors')).length).toBeGreaterThan(3);
  const again = openCheckpoint(folder);
  expect(valuesOf(again.weights)).toEqual(valuesOf(model.weights));
  expect(again.config).toEqual({ ...model.config, torch_dtype: 'float32' });
  expect(again.chatTemplate).toBe(model.chatTemplate);
  expect(again.tokenizer.endIds).toEqual(model.tokenizer.endIds);
  expect(again.tokenizer.encode('the thing is <|im_end|>')).toEqual(model.tokenizer.encode('the thing is <|im_end|>'));
});

it('writes bfloat16, and leaves out the copy of a tied embedding', () => {
  const from = join(home, 'from');
  const data = Float32Array.from({ length: 40 }, (_, i) => i / 8);
  const weights = new Map([
    ['model.embed_tokens.weight', { shape: [10, 4], data }],
    ['lm_head.weight', { shape: [10, 4], data }],
  ]);
  writeTinyFolder(from, { model_type: 'llama', vocab_size: 10, tie_word_embeddings: true, dtype: 'float32' }, weights);
  const model = openCheckpoint(from);
  const folder = join(home, 'half');
  writeHuggingFaceFolder(folder, model, { weights: model.weights, dtype: 'BF16' });
  const again = openCheckpoint(folder);
  expect([...again.weights.names()]).toEqual(['model.embed_tokens.weight']);
  expect([...again.weights.read('model.embed_tokens.weight')]).toEqual([...data]);
  const config = JSON.parse(readFileSync(join(folder, 'config.json'), 'utf8'));
  expect([config.torch_dtype, config.dtype]).toEqual(['bfloat16', undefined]);
  expect(again.licence).toBe('apache-2.0');
});
