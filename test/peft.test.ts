// An adapter made by PEFT: read, merged, and computed with the logits that PEFT computes (test/reference/make_peft.py).
import { cpSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { afterAll, expect, it } from 'vitest';
import { mergeAdapter } from '../src/compress/merge.ts';
import { readPeft, writePeft } from '../src/formats/peft.ts';
import type { WeightSource } from '../src/formats/weights.ts';
import { floats } from '../src/graph/tensor.ts';
import { openInGraph } from './graph-logits.ts';
import { readFixture } from './reference/fixture.ts';

const adapter = fileURLToPath(new URL('reference/fixtures/peft', import.meta.url));
const home = mkdtempSync(join(tmpdir(), 'cupel-peft-'));
afterAll(() => rmSync(home, { recursive: true }));

function fixtureWeights(): { config: Record<string, unknown>; weights: WeightSource } {
  const { config, tensors } = readFixture('llama-tied');
  const at = (name: string) => tensors.get(`weight/${name}`)!;
  const names = [...tensors.keys()].flatMap((key) => (key.startsWith('weight/') ? [key.slice('weight/'.length)] : []));
  const rows = (name: string, from: number, count: number) => {
    const row = floats(at(name)).length / (at(name).shape[0] as number);
    return Float32Array.from(floats(at(name)).slice(from * row, (from + count) * row));
  };
  const weights: WeightSource = {
    names: () => names,
    shape: (name) => at(name).shape as number[],
    read: (name) => rows(name, 0, at(name).shape[0] as number),
    readRows: rows,
    close: () => {},
  };
  return { config: config as Record<string, unknown>, weights };
}

it('computes the logits of PEFT', async () => {
  const { config, weights } = fixtureWeights();
  const { tensors } = readFixture('peft-logits');
  const graph = await openInGraph({ config, weights: mergeAdapter(weights, readPeft(adapter)) });
  const [batch, length] = tensors.get('ids')!.shape as number[];
  const ids = floats(tensors.get('ids')!);
  const expected = floats(tensors.get('logits')!);
  const largest = expected.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  for (let row = 0; row < batch; row++) {
    const logits = await graph.logits(Array.from(ids.slice(row * length, (row + 1) * length), Number));
    logits.forEach((values, s) => {
      values.forEach((value, v) => {
        expect(Math.abs(value - expected[(row * length + s) * values.length + v])).toBeLessThan(1e-4 * largest);
      });
    });
  }
  await graph.close();
});

it('writes what it read, and what PEFT needs to read it', () => {
  const read = readPeft(adapter);
  const copy = join(home, 'copy');
  writePeft(copy, read);
  expect(readPeft(copy)).toEqual(read);
  const config = JSON.parse(readFileSync(join(copy, 'adapter_config.json'), 'utf8'));
  expect(config).toMatchObject({ peft_type: 'LORA', r: 4, lora_alpha: 12, task_type: 'CAUSAL_LM', bias: 'none' });
  expect(config.target_modules).toHaveLength(7);
});

it.each([
  ['use_dora', true],
  ['rank_pattern', { 'layers.0.self_attn.q_proj': 8 }],
  ['alpha_pattern', { q_proj: 8 }],
  ['bias', 'all'],
  ['modules_to_save', ['lm_head']],
  ['fan_in_fan_out', true],
  ['peft_type', 'LOHA'],
])('refuses an adapter with %s %j, which it would apply wrongly', (field, value) => {
  const folder = join(home, field);
  cpSync(adapter, folder, { recursive: true });
  const config = JSON.parse(readFileSync(join(adapter, 'adapter_config.json'), 'utf8'));
  writeFileSync(join(folder, 'adapter_config.json'), JSON.stringify({ ...config, [field]: value }));
  expect(() => readPeft(folder)).toThrow(expect.objectContaining({ place: expect.objectContaining({ field }) }));
});
