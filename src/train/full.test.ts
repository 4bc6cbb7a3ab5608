import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { interpret } from '../runtime/reference.ts';
import { fullLayout, tensorsOf, thetaOf, weightsOf } from './full.ts';
import { fullStepGraph, openFullTrainer } from './full-trainer.ts';
import { train } from './loop.ts';
import { initialTheta, loraLayout } from './lora.ts';
import { packBatch, placeOnce } from './packing.ts';
import type { Sample } from './sample.ts';
import { feeds } from './step-graph.ts';
import { tinyModel } from './tiny-model.ts';
import { openTrainer, planPacking } from './trainer.ts';

const base = tinyModel();
const shapes = base.family.weightShapes(base.config);
const layout = fullLayout(shapes);
const random = new Random(5);
const draw = (n: number) => Array.from({ length: n }, () => 2 + random.below(60));
const samples: Sample[] = Array.from({ length: 6 }, (_, i) => {
  const ids = Int32Array.from(draw(10 + (i % 5)));
  return { ids, answers: [{ start: 1, end: ids.length }] };
});
const packing = planPacking(samples, 48);
const common = { base, weighting: 'token', seed: 4, runtime: {}, precision: { kind: 'float32' } } as const;

test('theta holds every weight once, and gives them back', () => {
  const theta = thetaOf(layout, base.weights);
  const weights = weightsOf(layout, theta);
  expect([...weights.names()].toSorted()).toEqual([...base.weights.names()].toSorted());
  for (const name of weights.names()) expect(weights.read(name)).toEqual(base.weights.read(name));
});

test('the gradient of every weight is the slope of the loss, embeddings that are the head as well included', () => {
  const batch = packBatch(
    samples,
    packing.groups,
    packing.layout,
    placeOnce(samples, packing.groups, packing.layout)[0],
    'token',
  );
  const graph = fullStepGraph({ ...common, layout, shape: packing.layout });
  const run = (theta: Float32Array) => interpret(graph, { ...feeds(batch), ...tensorsOf(layout, theta) });
  const output = (values: ReturnType<typeof run>, name: string) => values.get(graph.outputs.get(name)!.name)!.data;
  const theta = thetaOf(layout, base.weights);
  const values = run(theta);
  for (const { name, start, size } of layout.tensors) {
    const moved = (sign: number) =>
      theta.map((value, i) => (i >= start && i < start + size ? value + sign * Math.sin(i) * 2 ** -9 : value));
    const slope = (output(run(moved(1)), 'loss')[0] - output(run(moved(-1)), 'loss')[0]) / 2;
    const expected = output(values, `gradient.${name}`).reduce(
      (sum, g, i) => sum + g * Math.sin(start + i) * 2 ** -9,
      0,
    );
    expect(Math.abs(slope - expected), name).toBeLessThan(1e-5 + 0.01 * Math.abs(expected));
  }
});

test('begins as the base model and learns by heart', async () => {
  const lora = loraLayout(shapes, { rank: 2, alpha: 4, targets: ['q_proj'] });
  const frozen = await openTrainer(packing, packing, { ...common, lora });
  const before = await frozen.validate(initialTheta(lora, 0));
  await frozen.close();
  const trainer = await openFullTrainer(packing, packing, { ...common, layout, recompute: 1 });
  expect((await trainer.validate(trainer.initial)).loss).toBeCloseTo(before.loss, 5);
  const options = { learningRate: 0.01, warmupSteps: 2, floor: 0, budgetSeconds: 100, mostSteps: 100, steps: 40 };
  let now = 0;
  const { best } = await train(
    trainer,
    { ...options, patience: 99, checkpointSeconds: 1e9, optimiser: 'adamw8bit' },
    mkdtempSync(join(tmpdir(), 'cupel-full-')),
    { clock: () => now++, onStep: () => {}, onNote: () => {}, stopping: () => false },
  );
  await trainer.close();
  expect(best.loss).toBeLessThan(0.2 * before.loss);
});
