import { expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { quantise4 } from './int4.ts';
import { initialTheta, loraLayout } from './lora.ts';
import type { Sample } from './sample.ts';
import type { BaseModel } from './step-graph.ts';
import { tinyModel } from './tiny-model.ts';
import { openTrainer, planPacking } from './trainer.ts';

const base = tinyModel();
const targets = ['q_proj', 'v_proj', 'o_proj', 'down_proj'];
const lora = loraLayout(base.family.weightShapes(base.config), { rank: 4, alpha: 8, targets, firstLayer: 1 });
const random = new Random(5);
const draw = (n: number) => Array.from({ length: n }, () => 2 + random.below(60));
const prompt = [1, ...draw(11)];
const samples: Sample[] = Array.from({ length: 12 }, (_, i) => {
  const ids = Int32Array.from([...prompt, ...draw(4 + (i % 5)), ...draw(3)]);
  return { ids, answers: [{ start: ids.length - 3, end: ids.length }] };
});
const packing = planPacking(samples, 48);
const open = (mostFeatureBytes?: number) =>
  openTrainer(packing, packing, {
    base,
    lora,
    precision: { kind: 'float32' },
    weighting: 'token',
    seed: 4,
    runtime: {},
    mostFeatureBytes,
  });
const theta = initialTheta(lora, 2).map((value) => value + 0.1 * random.normal());

test('frozen first layers have no adapters', () => {
  expect(new Set(lora.adapters.map(({ module }) => module.split('.')[2]))).toEqual(new Set(['1']));
});

test('with the features of frozen layers kept, steps and validations are what the whole graph gives', async () => {
  const whole = await open(0);
  const kept = await open();
  expect([whole.keepsFeatures, kept.keepsFeatures]).toEqual([false, true]);
  for (const number of [0, 1, 2, 9]) {
    const expected = await whole.step(theta, number);
    const given = await kept.step(theta, number);
    expect(given.tokens).toBe(expected.tokens);
    expect(given.loss).toBeCloseTo(expected.loss, 5);
    const far = given.gradient.reduce((most, value, i) => Math.max(most, Math.abs(value - expected.gradient[i])), 0);
    expect(far).toBeLessThan(1e-5);
  }
  const [expected, given] = [await whole.validate(theta), await kept.validate(theta)];
  expect(given.loss).toBeCloseTo(expected.loss, 5);
  expect(given.exact).toBe(expected.exact);
  await whole.close();
  await kept.close();
});

test('features do not depend on what was computed before: a run that starts late has the same bits', async () => {
  const first = await open();
  const results = [];
  for (let number = 0; number < 10; number++) results.push((await first.step(theta, number)).gradient.slice());
  const late = await open();
  expect((await late.step(theta, 9)).gradient).toEqual(results[9]);
  await first.close();
  await late.close();
});

test('a batch of one row trains with one key/value head; 4-bit weights have the gradient of the matrices they stand for', async () => {
  const single = tinyModel(1, { num_attention_heads: 2, num_key_value_heads: 1 });
  const own = loraLayout(single.family.weightShapes(single.config), { rank: 4, alpha: 8, targets });
  const rounded = (name: string) => {
    const values = single.weights.read(name);
    if (!/proj\.weight$/.test(name)) return values;
    const { q, scale } = quantise4(values, 32);
    return values.map((_, i) => q[i] * scale[Math.floor(i / 32)]);
  };
  const coarse = { ...single, weights: { ...single.weights, read: rounded } };
  const alone = planPacking(samples, 16);
  expect(alone.layout.rows).toBe(1);
  expect(alone.layout.prefix).toBeGreaterThan(0);
  const start = initialTheta(own, 2).map((value) => value + 0.1 * random.normal());
  const gradient = async (model: BaseModel, kind: 'float32' | 'int4') => {
    const options = { lora: own, precision: { kind }, weighting: 'token', seed: 4, runtime: {} } as const;
    const trainer = await openTrainer(alone, alone, { ...options, base: model });
    const { gradient: result } = await trainer.step(start, 0);
    await trainer.close();
    return result.slice();
  };
  const [expected, given] = [await gradient(coarse, 'float32'), await gradient(single, 'int4')];
  expect(expected.some((value) => Math.abs(value) > 1e-3)).toBe(true);
  given.forEach((value, i) => {
    expect(Math.abs(value - expected[i])).toBeLessThan(1e-5);
  });
});
