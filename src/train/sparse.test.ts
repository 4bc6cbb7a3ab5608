import { expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { backwardShare, layerWindows, windowAt } from './layer-sampling.ts';
import { initialTheta, loraLayout } from './lora.ts';
import { packBatch, placeOnce } from './packing.ts';
import type { Sample } from './sample.ts';
import { TokenSelection } from './select.ts';
import { stepGraph } from './step-graph.ts';
import { tinyModel } from './tiny-model.ts';
import { openTrainer, planPacking, type TrainerOptions } from './trainer.ts';

const base = tinyModel();
const targets = ['q_proj', 'v_proj', 'o_proj', 'down_proj'];
const lora = loraLayout(base.family.weightShapes(base.config), { rank: 4, alpha: 8, targets });
const random = new Random(5);
const draw = (n: number) => Array.from({ length: n }, () => 2 + random.below(60));
const prompt = [1, ...draw(11)];
const samples: Sample[] = Array.from({ length: 9 }, (_, i) => {
  const ids = Int32Array.from([...prompt, ...draw(4 + (i % 5)), ...draw(5)]);
  return { ids, answers: [{ start: ids.length - 5, end: ids.length }] };
});
const packing = planPacking(samples, 48);
const common = { base, lora, precision: { kind: 'float32' } } as const;
const open = (more: Partial<TrainerOptions> = {}) =>
  openTrainer(packing, packing, { ...common, weighting: 'token', seed: 4, runtime: {}, ...more });
const theta = initialTheta(lora, 2).map((value) => value + 0.1 * random.normal());
const batchOf = (number: number) =>
  packBatch(
    samples,
    packing.groups,
    packing.layout,
    placeOnce(samples, packing.groups, packing.layout)[number],
    'token',
  );

test('the tokens of the highest loss are chosen, with the weight they have in the batch', () => {
  const selection = new TokenSelection(base.config.vocabularySize, 0.4);
  const batch = batchOf(0);
  const first = selection.select(batch);
  expect(first.targets).toHaveLength(Math.ceil(0.4 * batch.targets.length));
  expect(first.weights.reduce((sum, value) => sum + value, 0)).toBeCloseTo(1, 6);
  expect(first.weight).toBeCloseTo(first.targets.length, 5);
  first.lossAt.forEach((at, i) => {
    expect(first.targets[i]).toBe(batch.targets[batch.lossAt.indexOf(at)]);
  });
  // they and others with their ids improve: those with other ids are chosen
  for (let i = 0; i < 100; i++) selection.remember(first.targets, new Float32Array(first.targets.length));
  const others = batch.targets.filter((id) => !first.targets.includes(id));
  expect(others.length).toBeGreaterThan(0);
  const second = selection.select(batch);
  expect(second.targets.filter((id) => others.includes(id))).toHaveLength(
    Math.min(others.length, second.targets.length),
  );
});

test('a step on chosen tokens computes the head for them only, and remembers their losses', async () => {
  const trainer = await open({ selectTokens: 0.4 });
  const before = trainer.memory!.slice();
  const whole = await open();
  const chosen = await trainer.step(theta, 0);
  const all = await whole.step(theta, 0);
  const changed = trainer.memory!.filter((value, i) => value !== before[i]);
  expect(chosen.weight).toBeCloseTo(Math.ceil(0.4 * all.weight), 4);
  // what it remembers is of ids, some of which occur twice
  expect(changed.length).toBeGreaterThan(Math.round(chosen.weight) / 2);
  expect(changed.length).toBeLessThanOrEqual(Math.round(chosen.weight));
  await trainer.close();
  await whole.close();
});

test('windows cover all layers, each once a round', () => {
  const windows = layerWindows(lora, 1);
  expect(windows.map(({ first, last, range }) => [first, last, range.start, range.end])).toEqual([
    [0, 0, 0, lora.size / 2],
    [1, 1, lora.size / 2, lora.size],
  ]);
  expect(layerWindows(lora, 5)).toHaveLength(1);
  expect([backwardShare(lora, 1, 2), backwardShare(lora, 2, 2)]).toEqual([0.75, 1]);
  for (const round of [0, 1, 2, 3]) {
    const numbers = Array.from({ length: 7 }, (_, i) => windowAt(7, 7 * round + i, 3));
    expect(numbers.toSorted()).toEqual([0, 1, 2, 3, 4, 5, 6]);
  }
  const orders = [0, 1, 2, 3].map((round) =>
    String(Array.from({ length: 7 }, (_, i) => windowAt(7, 7 * round + i, 3))),
  );
  expect(new Set(orders).size).toBeGreaterThan(1);
});

test('a window has its part of the whole gradient, and a later one a shorter backward pass', async () => {
  const whole = await open();
  const sampled = await open({ layers: { atOnce: 1, batches: 2 } });
  const seen = new Set<number>();
  for (const number of [0, 1, 2, 3]) {
    const { gradient, loss, range } = await sampled.step(theta, number);
    const full = await whole.step(theta, number);
    seen.add(range!.start);
    expect(loss).toBeCloseTo(full.loss, 6);
    const own = full.gradient.subarray(range!.start, range!.end);
    expect(gradient).toHaveLength(own.length);
    const largest = own.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
    gradient.forEach((value, i) => {
      expect(Math.abs(value - own[i])).toBeLessThan(1e-5 * largest);
    });
  }
  expect(seen.size).toBe(2);
  await whole.close();
  await sampled.close();
  const products = (window?: ReturnType<typeof layerWindows>[number]) =>
    stepGraph({ ...common, shape: packing.layout, window }).nodes.filter(({ op }) => op === 'matmul').length;
  const [first, last] = layerWindows(lora, 1);
  expect(products(last)).toBeLessThan(products(first));
  expect(products(first)).toBeLessThan(products());
});
