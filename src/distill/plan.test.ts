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

test('what cannot fit is refused with the settings that would', () => {
  expect(() => fitMemory(shape, 3e8, 1024)).toThrow(/needs at least .* of memory/);
});
