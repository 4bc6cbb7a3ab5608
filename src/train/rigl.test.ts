import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { channelsOf, gatherTheta, narrowModel, narrowTheta, scatterTheta } from './channels.ts';
import { initialTheta, loraLayout } from './lora.ts';
import { exchange, exchangeShare, gradientScores, largestBlocks, magnitudes } from './rigl.ts';
import { openRiglTrainer, type RiglOptions } from './rigl-trainer.ts';
import type { Sample } from './sample.ts';
import { tinyModel } from './tiny-model.ts';
import { openTrainer, planPacking } from './trainer.ts';

const base = tinyModel();
const targets = ['q_proj', 'v_proj', 'gate_proj', 'up_proj', 'down_proj'];
const lora = loraLayout(base.family.weightShapes(base.config), { rank: 4, alpha: 8, targets });
const random = new Random(5);
const draw = (n: number) => Array.from({ length: n }, () => 2 + random.below(60));
const samples: Sample[] = Array.from({ length: 9 }, (_, i) => {
  const ids = Int32Array.from([1, ...draw(11), ...draw(4 + (i % 5)), ...draw(5)]);
  return { ids, answers: [{ start: ids.length - 5, end: ids.length }] };
});
const packing = planPacking(samples, 48);
const common = { base, lora, precision: { kind: 'float32' }, weighting: 'token', seed: 4, runtime: {} } as const;
const open = (more: Partial<RiglOptions> = {}) =>
  openRiglTrainer(packing, packing, { ...common, density: 0.5, batches: 2, ...more });
const channels = channelsOf(base, 0.5);
const adapters = initialTheta(lora, 2).map((value) => value + 0.1 * random.normal());

test('blocks divide the width, and a share of them is kept', () => {
  expect(channels).toEqual({ layers: 2, blocks: 4, size: 16, kept: 2 });
});

describe('the narrow model', () => {
  const mask = [
    [1, 3],
    [0, 2],
  ];

  test('computes what the whole one does with the other channels set to zero', async () => {
    const idle = (name: string, channel: (row: number, column: number) => number, layer: number) => {
      const [rows, columns] = base.weights.shape(name);
      return base.weights
        .read(name)
        .map((value, i) =>
          mask[layer].includes(Math.floor(channel(Math.floor(i / columns), i % columns) / 16)) && rows > 0 ? value : 0,
        );
    };
    const zeroed = {
      ...base,
      weights: {
        ...base.weights,
        read: (name: string) => {
          const found = name.match(/layers\.(\d)\.mlp\.(gate|up|down)_proj/);
          if (!found) return base.weights.read(name);
          return idle(name, found[2] === 'down' ? (_, column) => column : (row) => row, Number(found[1]));
        },
      },
    };
    const narrow = narrowTheta(base, lora, channels, mask);
    // the adapters of channels that do not take part are zero as well
    const own = gatherTheta(narrow, adapters);
    const alone = new Float32Array(lora.size);
    scatterTheta(narrow, own, alone);
    const whole = await openTrainer(packing, packing, { ...common, base: zeroed });
    const small = await openTrainer(packing, packing, {
      ...common,
      base: narrowModel(base, channels, mask),
      lora: narrow.layout,
    });
    const [expected, actual] = [await whole.step(alone, 0), await small.step(own, 0)];
    expect(actual.loss).toBeCloseTo(expected.loss, 5);
    const gradient = gatherTheta(narrow, Float32Array.from(expected.gradient));
    actual.gradient.forEach((value, i) => {
      expect(Math.abs(value - gradient[i])).toBeLessThan(1e-5);
    });
    await whole.close();
    await small.close();
  });

  test('theta goes there and back', () => {
    const narrow = narrowTheta(base, lora, channels, mask);
    const own = gatherTheta(narrow, adapters);
    const back = new Float32Array(lora.size);
    scatterTheta(narrow, own, back);
    expect(gatherTheta(narrow, back)).toEqual(own);
    expect(own.length).toBeLessThan(lora.size);
    back.forEach((value, i) => {
      expect([0, adapters[i]]).toContain(value);
    });
  });
});

describe('an update', () => {
  test('exchanges the weakest for those with the largest gradients', () => {
    const rows = (...values: number[][]) => values.map((row) => Float32Array.from(row));
    const mask = [[0, 1, 2]];
    expect(exchange(mask, rows([5, 1, 3, 9, 9]), rows([9, 9, 9, 2, 4]), 0.34)).toEqual([[0, 2, 4]]);
    expect(exchange(mask, rows([5, 1, 3, 9, 9]), rows([9, 9, 9, 2, 4]), 0)).toEqual(mask);
    expect(exchange(mask, rows([5, 1, 3, 9, 9]), rows([9, 9, 9, 2, 4]), 1)).toEqual([[0, 3, 4]]);
    expect([exchangeShare(0, 4), exchangeShare(2, 4)]).toEqual([0.3, expect.closeTo(0.15, 10)]);
  });

  test('magnitudes are those of the merged weights, gradients those of the own numbers of a block', () => {
    const zero = magnitudes(base.weights, lora, new Float32Array(lora.size), channels);
    const norm = (values: number[]) => Math.sqrt(values.reduce((sum, value) => sum + value * value, 0));
    const up = base.weights.read('model.layers.1.mlp.up_proj.weight');
    const down = base.weights.read('model.layers.1.mlp.down_proj.weight');
    const upBlock = [...up.subarray(16 * 32, 32 * 32)];
    const downBlock = [...down].filter((_, i) => i % 64 >= 16 && i % 64 < 32);
    expect(zero[1][1]).toBeCloseTo(norm(upBlock) * norm(downBlock), 3);
    const gradient = new Float32Array(lora.size);
    const gate = lora.adapters.find(({ module }) => module === 'model.layers.0.mlp.gate_proj')!;
    gradient[gate.b + gate.outputs + 40] = 3;
    expect([...gradientScores(lora, gradient, channels)[0]]).toEqual([0, 0, 9, 0]);
    expect(largestBlocks([Float32Array.from([1, 4, 2, 3])], 2)).toEqual([[1, 3]]);
  });
});

test('channels come and go with the updates; a run that goes on has the same bits', async () => {
  const walk = async (trainer: Awaited<ReturnType<typeof open>>, theta: Float32Array, from: number, to: number) => {
    const losses: number[] = [];
    for (let number = from; number < to; number++) {
      const { loss, gradient } = await trainer.step(theta, number);
      for (let i = 0; i < theta.length; i++) theta[i] -= 0.05 * gradient[i];
      losses.push(loss);
    }
    return losses;
  };
  const first = await open();
  const theta = first.initial.slice();
  const start = first.masked.mask(theta);
  const losses = await walk(first, theta, 0, 3);
  const halfway = theta.slice();
  expect(first.masked.updates(theta)).toBe(1);
  expect(first.masked.mask(theta)).not.toEqual(start);
  expect(first.masked.mask(theta).every((blocks) => blocks.length === 2)).toBe(true);
  const rest = await walk(first, theta, 3, 12);
  expect(first.masked.updates(theta)).toBe(4);
  const { loss } = await first.validate(theta);
  await first.close();
  const second = await open();
  expect(await walk(second, halfway, 3, 12)).toEqual(rest);
  expect(halfway).toEqual(theta);
  expect((await second.validate(halfway)).loss).toBe(loss);
  await second.close();
  expect(losses[0]).toBeGreaterThan(0);
});

test('every channel kept is the plain trainer', async () => {
  const rigl = await open({ density: 1 });
  const plain = await openTrainer(packing, packing, common);
  const [a, b] = [await rigl.step(rigl.initial.slice(), 0), await plain.step(plain.initial, 0)];
  expect(a.loss).toBe(b.loss);
  expect([...a.gradient.subarray(0, lora.size)]).toEqual([...b.gradient]);
  await rigl.close();
  await plain.close();
});

test('without adapters on the channels nothing can say which grow', async () => {
  const attention = loraLayout(base.family.weightShapes(base.config), { rank: 4, alpha: 8, targets: ['q_proj'] });
  await expect(open({ lora: attention })).rejects.toThrow(/feed-forward channels/);
});
