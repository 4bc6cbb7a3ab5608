import { expect, test } from 'vitest';
import { familyOf } from '../models/families.ts';
import { loraLayout } from '../train/lora.ts';
import { fitMemory, type Shape } from './plan.ts';

const json = {
  model_type: 'llama',
  hidden_size: 576,
  intermediate_size: 1536,
  num_hidden_layers: 30,
  num_attention_heads: 9,
  num_key_value_heads: 3,
  vocab_size: 49152,
  tie_word_embeddings: true,
  rms_norm_eps: 1e-5,
  max_position_embeddings: 2048,
};
const family = familyOf(json);
const config = family.parseConfig(json);
const weights = family.weightShapes(config);
const lora = loraLayout(weights, { rank: 8, alpha: 16, targets: ['q_proj'] });
const layout = { prefix: 0, rows: 4, length: 256 };
const shape: Shape = { config, weights, lora, precision: 'int8', train: layout, validation: layout, answers: 256 };

test('as few layers are computed again as the limit asks for', () => {
  const roomy = fitMemory(shape, 8e9, 1024);
  expect(roomy.recompute).toBe(0);
  const middle = fitMemory(shape, 2e9, 1024);
  const tight = fitMemory(shape, 1.5e9, 1024);
  expect(middle.recompute).toBeGreaterThan(0);
  expect(tight.recompute).toBeGreaterThan(middle.recompute);
  expect(tight.need.memory).toBeLessThanOrEqual(1.5e9);
});

test('OpenVINO keeps less, in bfloat16', () => {
  const usual = fitMemory({ ...shape, compiled: 'bf16' }, 8e9, 1024, 2);
  expect([usual.parts.count, usual.parts.lanes, usual.recompute]).toEqual([4, 2, 0]);
  expect(usual.need.memory).toBeLessThan(fitMemory(shape, 8e9, 1024, 2).need.memory);
  expect(fitMemory({ ...shape, compiled: 'bf16' }, 1.35e9, 1024, 2).recompute).toBeGreaterThan(0);
});

test('OpenVINO arranges the parts of a large vocabulary for both passes, in bfloat16', () => {
  const need = (vocabularySize: number) =>
    fitMemory({ ...shape, answers: 0, config: { ...config, vocabularySize }, compiled: 'bf16' }, 8e9, 1024, 2).need;
  expect(need(100_000).memory - need(65_536).memory).toBe(2 * 2 * 100_000 * config.hiddenSize);
});

test('what cannot fit is refused with the settings that would', () => {
  expect(() => fitMemory(shape, 3e8, 1024)).toThrow(/needs at least .* of memory/);
});

test('weights that are trained: value, best value, gradient and moments in float32, and copies in int8', () => {
  const size = 134_515_008;
  const full: Shape = { ...shape, weights: new Map(), lora: { ...lora, adapters: [], size }, moving: 106_168_320 };
  const exact = fitMemory({ ...full, precision: 'float32' }, 16e9, 1024).need;
  const coarse = fitMemory(full, 16e9, 1024).need;
  expect(coarse.memory - exact.memory).toBe(2 * 106_168_320);
  expect(coarse.disk).toBe(exact.disk);
  expect(exact.memory).toBeGreaterThan(24 * size);
});
