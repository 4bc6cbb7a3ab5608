import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { accumulated } from './accumulate.ts';
import type { StepResult } from './loop.ts';
import { initialTheta, loraLayout } from './lora.ts';
import { packBatch, placementOf } from './packing.ts';
import { cutBatch, type PartPlan, partPlans, planParts } from './parts.ts';
import type { Sample } from './sample.ts';
import { tinyModel } from './tiny-model.ts';
import { openTrainer, planPacking } from './trainer.ts';

const base = tinyModel();
const lora = loraLayout(base.family.weightShapes(base.config), { rank: 4, alpha: 8, targets: ['q_proj', 'down_proj'] });
const random = new Random(6);
const draw = (n: number) => Array.from({ length: n }, () => 2 + random.below(60));
const conversations = (prompt: number[]): Sample[] =>
  Array.from({ length: 40 }, (_, i) => {
    const ids = Int32Array.from([...prompt, ...draw(5 + (i % 7)), ...draw(3)]);
    return { ids, answers: [{ start: ids.length - 3, end: ids.length }] };
  });
const theta = initialTheta(lora, 2).map((value) => value + 0.1 * random.normal());

describe('which ways there are to cut a batch', () => {
  const counts = (plans: readonly PartPlan[]) => plans.map(({ count }) => count);

  test('into multiples of the lanes that divide its rows', () => {
    expect(counts(partPlans({ prefix: 0, rows: 12, length: 64 }, 2))).toEqual([2, 4, 6, 12]);
    expect(counts(partPlans({ prefix: 0, rows: 12, length: 64 }, 1))).toEqual([1]);
    expect(counts(partPlans({ prefix: 0, rows: 3, length: 64 }, 2))).toEqual([1]);
  });

  test('not at all where every part would compute a long prefix', () => {
    expect(counts(partPlans({ prefix: 600, rows: 4, length: 128 }, 2))).toEqual([1]);
    expect(counts(partPlans({ prefix: 50, rows: 4, length: 128 }, 2))).toEqual([2, 4]);
  });

  test('usually so that a part still has 256 tokens', () => {
    expect(planParts({ prefix: 0, rows: 4, length: 256 }, 2).count).toBe(4);
    expect(planParts({ prefix: 0, rows: 8, length: 64 }, 2).count).toBe(2);
    expect(planParts({ prefix: 50, rows: 8, length: 256 }, 2).count).toBe(2);
  });
});

test('the parts of a batch have all its losses, each at the token it had', () => {
  const { samples, groups, layout } = planPacking(conversations(draw(9)), 256, 2);
  const batch = packBatch(samples, groups, layout, placementOf(samples, groups, layout, 1)(0), 'token', 0.1);
  const parts = cutBatch(batch, layout, partPlans(layout, 2).at(-1)!);
  expect(parts.length).toBeGreaterThan(2);
  for (const key of ['targets', 'weights'] as const)
    expect(parts.flatMap((part) => [...part[key]])).toEqual([...batch[key]]);
  const before = ({ ids, segments, lossAt }: typeof batch) => [...lossAt].map((at) => [ids[at], segments[at]]);
  expect(parts.flatMap(before)).toEqual(before(batch));
});

describe.each([
  ['after a shared prefix', draw(6)],
  ['without one', []],
  ['after a prefix too long to compute twice', draw(150)],
])('conversations %s', (_, prompt) => {
  const packing = planPacking(conversations(prompt), 96, 2);
  const open = ({ lanes, ...more }: { lanes: number; parts?: PartPlan; accumulate?: number }) =>
    openTrainer(packing, packing, {
      base,
      lora,
      precision: { kind: 'float32' },
      weighting: 'token',
      seed: 4,
      runtime: { threads: 2, lanes },
      ...more,
    });

  test('a step in parts has the loss and the gradient of the whole, and always the same bits', async () => {
    const whole = await open({ lanes: 1 });
    const expected: StepResult[] = [];
    for (const number of [0, 1, 7]) {
      const { gradient, ...rest } = await whole.step(theta, number);
      expected.push({ ...rest, gradient: gradient.slice() });
    }
    await whole.close();
    for (const parts of partPlans(packing.layout, 2)) {
      const cut = await open({ lanes: 2, parts });
      for (const [i, number] of [0, 1, 7].entries()) {
        const { loss, gradient, tokens } = await cut.step(theta, number);
        expect(tokens).toBe(expected[i].tokens);
        expect(loss).toBeCloseTo(expected[i].loss, 5);
        const far = gradient.reduce((most, value, k) => Math.max(most, Math.abs(value - expected[i].gradient[k])), 0);
        expect(far).toBeLessThan(1e-5);
        const bits = gradient.slice();
        expect((await cut.step(theta, number)).gradient).toEqual(bits);
      }
      await cut.close();
    }
  });

  test('batches accumulated in a step, side by side, are those accumulated one after the other', async () => {
    const one = await open({ lanes: 1 });
    const after = accumulated(one, 3);
    const beside = await open({ lanes: 2, accumulate: 3 });
    expect(beside.batchesAStep).toBe(3);
    for (const number of [0, 1]) {
      const [expected, given] = [await after.step(theta, number), await beside.step(theta, number)];
      expect([given.tokens, given.weight]).toEqual([expected.tokens, expected.weight]);
      expect(given.loss).toBeCloseTo(expected.loss, 5);
      const far = given.gradient.reduce((most, value, k) => Math.max(most, Math.abs(value - expected.gradient[k])), 0);
      expect(far).toBeLessThan(1e-5);
    }
    await one.close();
    await beside.close();
  });
});
