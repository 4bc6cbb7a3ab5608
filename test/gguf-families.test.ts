// Every family as GGUF against transformers: llama.cpp loads what is written and computes transformers' logits from it.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, describe, expect, it } from 'vitest';
import { compress } from '../src/compress/compress.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { openSafetensors, type Safetensors } from '../src/formats/safetensors.ts';
import { familyOf } from '../src/models/families.ts';
import { cosine } from './cosine.ts';
import { openInGraph } from './graph-logits.ts';
import { largest, openInLlama } from './llama-logits.ts';
import { type TinyWeight, writeTinyFolder } from './tiny-folder.ts';

const home = mkdtempSync(join(tmpdir(), 'cupel-gguf-families-'));
afterAll(() => rmSync(home, { recursive: true }));

const FAMILIES = ['qwen2', 'qwen3', 'gemma3', 'gemma3-pattern', 'mixtral', 'qwen3-moe', 'deepseek', 'deepseek-lite'];

const fixture = (name: string): Safetensors =>
  openSafetensors(fileURLToPath(new URL(`reference/fixtures/gguf-${name}.safetensors`, import.meta.url)));

const flat = (rows: readonly Float32Array[]) => Float32Array.from(rows.flatMap((row) => [...row]));
/** Two tokens whose logits differ by less than this share are a matter of llama.cpp's float16 cache. */
const UNDECIDED = 3e-3;

/** True when src/models has the family. */
function isModelled(name: string): boolean {
  const file = fixture(name);
  file.close();
  try {
    familyOf(JSON.parse(file.metadata.config));
    return true;
  } catch {
    return false;
  }
}

function folderOf(name: string): string {
  const file = fixture(name);
  const weights = [...file.entries].flatMap(([key, { shape }]): [string, TinyWeight][] =>
    key.startsWith('weight/') ? [[key.slice('weight/'.length), { shape, data: file.read(key) }]] : [],
  );
  writeTinyFolder(join(home, name), JSON.parse(file.metadata.config), new Map(weights));
  file.close();
  return join(home, name);
}

describe.each(FAMILIES)('%s', (name) => {
  it("computes transformers' logits in llama.cpp", async () => {
    const folder = folderOf(name);
    await compress({ base: openCheckpoint(folder), types: ['f16', 'f32'], folder });
    const file = fixture(name);
    const ids = [...new BigInt64Array(file.readRaw('ids').buffer)].map(Number);
    const expected = file.read('logits');
    const llama = openInLlama(join(folder, `${name}-f16.gguf`));
    const width = expected.length / ids.length;
    llama.logits(ids).forEach((row, i) => {
      expect(cosine(row, expected.subarray(i * width, (i + 1) * width)), `position ${i}`).toBeGreaterThan(0.9999);
    });
    llama.close();
    file.close();
  });

  it.skipIf(!isModelled(name))('computes and continues as our graph does', { timeout: 60_000 }, async () => {
    const graph = await openInGraph(openCheckpoint(join(home, name)));
    const half = openInLlama(join(home, name, `${name}-f16.gguf`));
    const llama = openInLlama(join(home, name, `${name}-f32.gguf`));
    const prompt = [5, 9, 33, 20, 7, 31, 36, 12, 3, 27, 30, 8];
    const taken = llama.greedy(prompt, 64);
    const ids = [...prompt, ...taken];
    const ours = await graph.logits(ids);
    // all positions together: where a router is undecided, float16 may send one token to another expert
    expect(cosine(flat(half.logits(ids)), flat(ours))).toBeGreaterThan(0.9999);
    const undecided = taken.filter((token, i) => {
      const row = ours[prompt.length - 1 + i];
      const best = largest(row);
      expect(row[best] - row[token], `token ${i}`).toBeLessThan(UNDECIDED * row[best]);
      return best !== token;
    });
    expect(undecided.length).toBeLessThanOrEqual(2);
    half.close();
    llama.close();
    await graph.close();
  });

  it.skipIf(!isModelled(name))('takes the same 64 greedy tokens', { timeout: 60_000 }, async () => {
    const file = fixture(name);
    // the prompt for which make_gguf.py has checked that no token is a near tie
    const prompt = [...new BigInt64Array(file.readRaw('ids').buffer)].map(Number).slice(0, 12);
    file.close();
    const llama = openInLlama(join(home, name, `${name}-f32.gguf`));
    const taken = llama.greedy(prompt, 64);
    llama.close();
    const graph = await openInGraph(openCheckpoint(join(home, name)));
    const rows = await graph.logits([...prompt, ...taken]);
    await graph.close();
    expect(taken.map((_, i) => largest(rows[prompt.length - 1 + i]))).toEqual(taken);
  });

  it('reads back as the same model', () => {
    const model = openCheckpoint(join(home, name));
    const again = openCheckpoint(join(home, name, `${name}-f16.gguf`));
    expect([...again.weights.names()].sort()).toEqual([...model.weights.names()].sort());
    for (const weight of model.weights.names()) {
      const [read, written] = [again.weights.read(weight), model.weights.read(weight)];
      // norms of Gemma are stored as 1 + w, which costs a bit of float32
      for (let i = 0; i < read.length; i++) expect(Math.abs(read[i] - written[i])).toBeLessThan(1e-6);
      const rows = again.weights.shape(weight)[0];
      const half = again.weights.readRows(weight, rows >> 1, rows - (rows >> 1));
      expect([...half]).toEqual([...read.subarray(read.length - half.length)]);
    }
    const same = ['model_type', 'hidden_size', 'num_hidden_layers', 'num_attention_heads', 'num_key_value_heads'];
    const perhaps = [
      'q_lora_rank',
      'kv_lora_rank',
      'qk_nope_head_dim',
      'n_routed_experts',
      'num_experts',
      'layer_types',
    ];
    for (const field of [...same, ...perhaps]) {
      if (model.config[field] === undefined) continue;
      if (field === 'layer_types' && !name.startsWith('gemma3')) continue;
      expect(again.config[field], field).toEqual(model.config[field]);
    }
  });
});
