// Damaged files: more than 10,000 mutations of GGUF, safetensors and config.json give a typed error or a whole read.
import { execFileSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { writeGgufModel } from '../../src/compress/write-gguf-model.ts';
import { openCheckpoint } from '../../src/formats/checkpoint.ts';
import { familyOfModelType } from '../../src/formats/families/families.ts';
import { openGguf } from '../../src/formats/gguf.ts';
import { type TinyWeight, writeTinyFolder } from '../tiny-folder.ts';
import type { HostileReport } from './child.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-hostile-'));
afterAll(() => rmSync(folder, { recursive: true }));

const D = 32;
const V = 40;
const CONFIG = {
  model_type: 'llama',
  hidden_size: D,
  intermediate_size: D,
  num_hidden_layers: 1,
  num_attention_heads: 2,
  num_key_value_heads: 1,
  head_dim: D / 2,
  vocab_size: V,
  max_position_embeddings: 64,
  rms_norm_eps: 1e-5,
  rope_theta: 10_000,
  rope_scaling: { rope_type: 'llama3', factor: 8, original_max_position_embeddings: 32 },
  tie_word_embeddings: true,
};

const DEEPSEEK = {
  ...CONFIG,
  model_type: 'deepseek_v2',
  num_hidden_layers: 2,
  head_dim: 8,
  q_lora_rank: 8,
  kv_lora_rank: 16,
  qk_nope_head_dim: 8,
  qk_rope_head_dim: 8,
  v_head_dim: 16,
  n_routed_experts: 4,
  n_shared_experts: 1,
  num_experts_per_tok: 2,
  moe_intermediate_size: D,
  first_k_dense_replace: 1,
  rope_scaling: { rope_type: 'yarn', factor: 4, mscale: 1, mscale_all_dim: 1, original_max_position_embeddings: 32 },
};

/** A folder of that config with made-up weights, and a GGUF file of it. @returns how many bytes of the file are header */
function writeModel(name: string, config: Record<string, unknown>): number {
  const { links, weaves } = familyOfModelType(String(config.model_type)).tensors(config);
  const weights = [...links.filter(({ optional }) => !optional), ...weaves].map(
    ({ hf, shape }): [string, TinyWeight] => {
      const data = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, (_, i) => Math.sin(i));
      return [hf, { shape, data }];
    },
  );
  writeTinyFolder(join(folder, name), config, new Map(weights));
  const base = openCheckpoint(join(folder, name));
  writeGgufModel(join(folder, `${name}.gguf`), base, { type: 'q4_0', weights: base.weights });
  base.close();
  const gguf = openGguf(join(folder, `${name}.gguf`));
  gguf.close();
  return Math.min(...[...gguf.tensors.values()].map(({ offset }) => offset));
}

const headers: Record<string, number> = {};
beforeAll(() => {
  headers['llama.gguf'] = writeModel('llama', CONFIG);
  headers['deepseek.gguf'] = writeModel('deepseek', DEEPSEEK);
});

const MUTATIONS: [kind: string, model: string, count: number][] = [
  ['gguf', 'llama.gguf', 4000],
  ['gguf', 'deepseek.gguf', 2000],
  ['safetensors', 'llama', 4000],
  ['config', 'llama', 500],
  ['config', 'deepseek', 500],
];

describe('damaged files', () => {
  it('are more than 10,000', () => {
    expect(MUTATIONS.reduce((sum, [, , count]) => sum + count, 0)).toBeGreaterThan(10_000);
  });

  it.each(MUTATIONS)('%s of %s, %i times: a typed error or a whole read', (kind, model, count) => {
    const child = fileURLToPath(new URL('child.ts', import.meta.url));
    const args = [child, kind, String(count), '5', join(folder, model), String(headers[model] ?? 0)];
    // less heap than a file that is believed would take
    const flags = ['--max-old-space-size=256', '--import', 'tsx'];
    const out = execFileSync(process.execPath, [...flags, ...args], { encoding: 'utf8', maxBuffer: 1 << 24 });
    const report: HostileReport = JSON.parse(out);
    expect(report.wrong).toEqual([]);
    expect(report.read + report.refused).toBe(count);
    // the damage is neither all harmless nor all plain to see
    expect(report.read).toBeGreaterThan(count / 100);
    expect(report.refused).toBeGreaterThan(count / 10);
    // processor time, which other work on the machine does not lengthen
    expect(report.slowest).toBeLessThan(1);
    expect(report.peakBytes).toBeLessThan(256 * 2 ** 20);
  });
});

it('a pickle is refused by its content, whatever its name', () => {
  for (const [name, head] of Object.entries({
    'a.bin': '\x80\x02}q\x00.',
    'b.gguf': 'PK\x03\x04',
    'c.pt': '\x80\x04',
  })) {
    const path = join(folder, name);
    writeFileSync(path, Buffer.from(head.padEnd(64, '\0'), 'latin1'));
    expect(() => openCheckpoint(path)).toThrow(/pickle/);
  }
});
