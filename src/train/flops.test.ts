import { expect, test } from 'vitest';
import { flopsPerToken } from './flops.ts';
import { loraLayout } from './lora.ts';

test('counts products with frozen weights twice, adapters and attention three times, answers only in the head', () => {
  const weights = new Map([
    ['model.embed_tokens.weight', [100, 8]],
    ['model.layers.0.self_attn.q_proj.weight', [8, 8]],
    ['model.layers.1.self_attn.q_proj.weight', [8, 8]],
    ['model.layers.1.input_layernorm.weight', [8]],
  ]);
  const config = { layers: 2, hiddenSize: 8, vocabularySize: 100 } as never;
  const lora = loraLayout(weights, { rank: 2, alpha: 4, targets: ['q_proj'] });
  const all = flopsPerToken({ config, weights, lora, context: 10, answerShare: 0.25 });
  expect(all).toBe(2 * (2 * 128 + 3 * (2 * 32) + 3 * (2 * 2 * 8 * 10) + 2 * 0.25 * 800));
  const whole = { config, weights, lora, context: 10, answerShare: 0.25, full: true };
  expect(flopsPerToken(whole)).toBe(2 * (3 * 128 + 3 * (2 * 2 * 8 * 10) + 3 * 0.25 * 800));
  const later = loraLayout(weights, { rank: 2, alpha: 4, targets: ['q_proj'], firstLayer: 1 });
  const half = flopsPerToken({ config, weights, lora: later, context: 10, answerShare: 0.25 });
  expect(half).toBe(2 * (2 * 64 + 3 * 32 + 3 * (2 * 8 * 10) + 2 * 0.25 * 800));
});

test('counts the last feed-forward layer for answers alone where it is computed for them alone, which experts rule out', () => {
  const weights = new Map([
    ['model.layers.0.mlp.up_proj.weight', [16, 8]],
    ['model.layers.1.self_attn.q_proj.weight', [8, 8]],
    ['model.layers.1.mlp.up_proj.weight', [16, 8]],
  ]);
  const config = { layers: 2, hiddenSize: 8, vocabularySize: 0 };
  const lora = loraLayout(weights, { rank: 2, alpha: 4, targets: ['up_proj'] });
  const shape = { weights, lora, context: 0, answerShare: 0.25, answersLast: true };
  expect(flopsPerToken({ ...shape, config: config as never })).toBe(
    2 * (2 * (128 + 64 + 0.25 * 128) + 3 * (48 + 0.25 * 48)),
  );
  expect(flopsPerToken({ ...shape, config: config as never, full: true })).toBe(2 * 3 * (128 + 64 + 0.25 * 128));
  const all = { ...shape, config: config as never, full: true, answersLast: false };
  expect(flopsPerToken(all)).toBe(2 * 3 * (128 + 64 + 128));
  const mixed = { ...config, experts: { count: 4, perToken: 2 } } as never;
  expect(flopsPerToken({ ...shape, config: mixed, full: true })).toBe(2 * 3 * (128 + 64 + 128));
});
