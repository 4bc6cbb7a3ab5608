import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { cosine } from '../../test/cosine.ts';
import { Random } from '../base/random.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import type { OnnxOptions } from '../runtime/onnx.ts';
import { interpret } from '../runtime/reference.ts';
import { type FullPrecision, fullLayout, tensorsOf, thetaOf, weightsOf } from './full.ts';
import { fullPrecision, fullStepGraph, openFullTrainer } from './full-trainer.ts';
import { train } from './loop.ts';
import { initialTheta, loraLayout } from './lora.ts';
import { globalNorm, makeOptimiser } from './optimiser.ts';
import { packBatch, placeOnce } from './packing.ts';
import type { Sample } from './sample.ts';
import { feeds } from './step-graph.ts';
import { tinyModel } from './tiny-model.ts';
import { int8Precision, openTrainer, planPacking } from './trainer.ts';

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

async function expectAsInFloat32(int8: FullPrecision, runtime: OnnxOptions): Promise<void> {
  const run = async (precision: FullPrecision, runtime: OnnxOptions = {}) => {
    const trainer = await openFullTrainer(packing, packing, { ...common, layout, precision, runtime });
    const gradient = (await trainer.step(trainer.initial, 0)).gradient.slice();
    const theta = trainer.initial.slice();
    const optimiser = makeOptimiser('adamw', theta.length);
    const losses: number[] = [];
    for (let step = 0; step < 30; step++) {
      const result = await trainer.step(theta, step);
      optimiser.update(theta, result.gradient, 0.003, globalNorm(result.gradient));
      losses.push(result.loss);
    }
    await trainer.close();
    return { gradient, losses };
  };
  const exact = await run({ kind: 'float32' });
  const coarse = await run(int8, runtime);
  const cosines = layout.tensors
    .filter(({ name, shape }) => shape.length === 2 && name.includes('.layers.'))
    .map(({ start, size }) =>
      cosine(exact.gradient.subarray(start, start + size), coarse.gradient.subarray(start, start + size)),
    );
  expect(cosines).toHaveLength(14);
  expect(Math.min(...cosines)).toBeGreaterThan(0.95);
  expect(cosines.reduce((sum, value) => sum + value, 0) / 14).toBeGreaterThan(0.98);
  expect(coarse.losses.at(-1)).toBeLessThan(0.7 * coarse.losses[0]);
  for (const [step, loss] of coarse.losses.entries())
    expect(Math.abs(loss / exact.losses[step] - 1), `step ${step}`).toBeLessThan(0.05);
}

test('int8: the gradient of every matrix points where it does in float32, and so does the curve of losses', async () => {
  await expectAsInFloat32(fullPrecision(await int8Precision({})), {});
});

test.skipIf(whyNoBf16())("int8 by Cupel's own kernels: the same of gradients and the curve", async () => {
  const runtime = { threads: 2, bf16: { instructions: 'avx512' } } as const;
  await expectAsInFloat32({ kind: 'narrow', gradients: 'all' }, runtime);
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
