import { expect, test } from 'vitest';
import { openvinoFolder } from '../../test/openvino.ts';
import { Random } from '../base/random.ts';
import { floats } from '../graph/tensor.ts';
import { type OnnxOptions, openOnnx } from '../runtime/onnx.ts';
import { interpret } from '../runtime/reference.ts';
import { accumulated } from './accumulate.ts';
import type { Trainee } from './loop.ts';
import { initialTheta, type LoraLayout, loraLayout } from './lora.ts';
import { PADDING_SEGMENT, packBatch, packLayout, placeOnce } from './packing.ts';
import { groupByPrefix, type PrefixGroup } from './prefix.ts';
import type { Sample } from './sample.ts';
import { feeds, type GraphOptions, stepGraph, validationGraph } from './step-graph.ts';
import { tinyModel } from './tiny-model.ts';

const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
const base = tinyModel();
const lora = loraLayout(base.family.weightShapes(base.config), { rank: 4, alpha: 8, targets: TARGETS });

/** Conversations with a common prompt, of different lengths, one with two answers. */
function conversations(): Sample[] {
  const random = new Random(5);
  const draw = (n: number) => Array.from({ length: n }, () => 2 + random.below(60));
  const prompt = [1, ...draw(11)];
  return Array.from({ length: 7 }, (_, i) => {
    const ids = [...prompt, ...draw(4 + 3 * i), ...draw(3)];
    const last = { start: ids.length - 3, end: ids.length };
    return { ids: Int32Array.from(ids), answers: i === 6 ? [{ start: 15, end: 17 }, last] : [last] };
  });
}

/** Non-zero B, or the gradient of A would vanish. */
function someTheta(layout: LoraLayout): Float32Array {
  const random = new Random(11);
  return initialTheta(layout, 2).map((value) => value + 0.1 * random.normal());
}

/** A layout that holds all samples at once. */
function roomy(samples: readonly Sample[], groups: readonly PrefixGroup[]) {
  const packed = packLayout(samples, groups, 128);
  return { ...packed, rows: packed.rows + 1 };
}

async function step(
  options: Pick<GraphOptions, 'precision' | 'recompute'>,
  samples: readonly Sample[],
  groups: PrefixGroup[],
  runtime: OnnxOptions = {},
) {
  const layout = roomy(samples, groups);
  const [placement, ...more] = placeOnce(samples, groups, layout);
  expect(more).toEqual([]);
  const batch = packBatch(samples, groups, layout, placement, 'token');
  const session = await openOnnx(stepGraph({ base, shape: layout, lora, ...options }), runtime);
  const theta = { dtype: 'float32', shape: [lora.size], data: someTheta(lora) } as const;
  const { loss, gradient } = await session.run({ ...feeds(batch), theta });
  await session.close();
  return { loss: floats(loss)[0], gradient: floats(gradient), batch };
}

const float32 = { precision: { kind: 'float32' } } as const;
const alone = (samples: readonly Sample[]): PrefixGroup[] => [
  { prefix: new Int32Array(), members: samples.map((_, i) => i) },
];

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

test('a packed batch with a shared prefix has the loss and the gradient of its conversations one by one', async () => {
  const samples = conversations();
  const packed = await step(float32, samples, groupByPrefix(samples, 128));
  const held = packed.batch.segments.filter((segment) => Number(segment) !== PADDING_SEGMENT).length;
  expect(held).toBeLessThan(samples.reduce((sum, { ids }) => sum + ids.length, 0));
  const total = packed.batch.lossAt.length;
  let loss = 0;
  const gradient = new Float32Array(lora.size);
  for (const sample of samples) {
    const single = await step(float32, [sample], alone([sample]));
    const share = single.batch.lossAt.length / total;
    loss += share * single.loss;
    single.gradient.forEach((value, i) => {
      gradient[i] += share * value;
    });
  }
  expect(packed.loss).toBeCloseTo(loss, 5);
  const largest = gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  packed.gradient.forEach((value, i) => {
    expect(Math.abs(value - gradient[i])).toBeLessThan(1e-4 * largest);
  });
});

test('two accumulated batches give the loss and the gradient of one that holds both', async () => {
  const samples = conversations();
  const large = await step(float32, samples, groupByPrefix(samples, 128));
  const halves = [samples.slice(0, 2), samples.slice(2)];
  const trainee: Trainee = {
    initial: someTheta(lora),
    step: async (_, number) => {
      const half = halves[number % 2];
      const { loss, gradient, batch } = await step(float32, half, groupByPrefix(half, 128));
      return { loss, gradient, tokens: batch.tokens, weight: batch.weight };
    },
    validate: async () => ({ loss: 0, exact: 0 }),
  };
  const { loss, gradient, weight } = await accumulated(trainee, 2).step(trainee.initial, 0);
  expect(weight).toBe(large.batch.lossAt.length);
  expect(loss).toBeCloseTo(large.loss, 5);
  const largest = large.gradient.reduce((most, value) => Math.max(most, Math.abs(value)), 0);
  gradient.forEach((value, i) => {
    expect(Math.abs(value - large.gradient[i])).toBeLessThan(1e-4 * largest);
  });
});

test('the gradient of theta is that of finite differences, in double precision', () => {
  const samples = conversations().slice(0, 2);
  const groups = groupByPrefix(samples, 128);
  const layout = roomy(samples, groups);
  const batch = packBatch(samples, groups, layout, placeOnce(samples, groups, layout)[0], 'token');
  const graph = stepGraph({ base, shape: layout, lora, ...float32 });
  const run = (theta: Float32Array) =>
    interpret(graph, { ...feeds(batch), theta: { dtype: 'float32', shape: [lora.size], data: theta } });
  const theta = someTheta(lora);
  const direction = Float32Array.from({ length: lora.size }, (_, i) => Math.sin(i) * 2 ** -10);
  const output = (values: ReturnType<typeof run>, name: string) => values.get(graph.outputs.get(name)!.name)!.data;
  const slope = output(run(theta), 'gradient').reduce((sum, g, i) => sum + g * direction[i], 0);
  const at = (sign: number) => output(run(theta.map((value, i) => value + sign * direction[i])), 'loss')[0];
  expect((at(1) - at(-1)) / 2).toBeCloseTo(slope, 4);
});

test('no leak: changing one conversation leaves every other as it was, bit by bit', async () => {
  const samples = conversations();
  const groups = groupByPrefix(samples, 128);
  const layout = roomy(samples, groups);
  const session = await openOnnx(validationGraph({ base, shape: layout, lora, ...float32 }));
  const run = async (list: readonly Sample[]) => {
    const batch = packBatch(list, groups, layout, placeOnce(list, groups, layout)[0], 'token');
    const { weights: _, ...inputs } = feeds(batch);
    const theta = { dtype: 'float32', shape: [lora.size], data: someTheta(lora) } as const;
    const nll = floats((await session.run({ ...inputs, theta })).nll);
    return batch.members.map((_, member) => [...nll].filter((_, i) => batch.segments[batch.lossAt[i]] === member + 1));
  };
  const before = await run(samples);
  const changed = samples.map((sample, i) =>
    i === 3 ? { ...sample, ids: sample.ids.map((id, at) => (at < 12 ? id : 63 - (id % 60))) } : sample,
  );
  const after = await run(changed);
  await session.close();
  const differs = before.map((values, i) => values.some((value, k) => value !== after[i][k]));
  const members = packBatch(samples, groups, layout, placeOnce(samples, groups, layout)[0], 'token').members;
  expect(members.filter((_, i) => differs[i])).toEqual([3]);
});

test('two jobs in one batch stream: a prefix shorter than the layout is padded without effect', async () => {
  const samples = conversations();
  const groups = groupByPrefix(samples, 128);
  const shorter = [{ ...groups[0], prefix: groups[0].prefix.slice(0, 5) }];
  const whole = await step(float32, samples, groups);
  const layoutOf = roomy(samples, shorter);
  const padded = { ...layoutOf, prefix: 12 };
  const batch = packBatch(samples, shorter, padded, placeOnce(samples, shorter, padded)[0], 'token');
  const session = await openOnnx(stepGraph({ base, shape: padded, lora, ...float32 }));
  const theta = { dtype: 'float32', shape: [lora.size], data: someTheta(lora) } as const;
  const { loss, gradient } = await session.run({ ...feeds(batch), theta });
  await session.close();
  expect(floats(loss)[0]).toBeCloseTo(whole.loss, 5);
  expect(cosine(floats(gradient), whole.gradient)).toBeGreaterThan(0.99999);
});

test('int8 base weights point the gradient the same way', async () => {
  const samples = conversations();
  const groups = groupByPrefix(samples, 128);
  const exact = await step(float32, samples, groups);
  const coarse = await step({ precision: { kind: 'int8', levels: 63 } }, samples, groups);
  expect(coarse.loss).not.toBe(exact.loss);
  expect(Math.abs(coarse.loss / exact.loss - 1)).toBeLessThan(0.03);
  expect(cosine(coarse.gradient, exact.gradient)).toBeGreaterThan(0.97);
});

test.skipIf(!openvinoFolder)('OpenVINO: the same gradient, also where layers are computed again', async () => {
  const samples = conversations();
  const groups = groupByPrefix(samples, 128);
  const int8 = { precision: { kind: 'int8', levels: 63 } } as const;
  const exact = await step(float32, samples, groups);
  const usual = await step(int8, samples, groups);
  for (const precision of ['f32', 'bf16'] as const) {
    const runtime = { openvino: { folder: openvinoFolder!, precision } };
    const kept = await step(int8, samples, groups, runtime);
    expect(cosine(kept.gradient, usual.gradient)).toBeGreaterThan(0.998);
    expect(cosine(kept.gradient, exact.gradient)).toBeGreaterThan(0.97);
    const again = await step({ ...int8, recompute: base.config.layers }, samples, groups, runtime);
    expect(cosine(again.gradient, kept.gradient)).toBeGreaterThan(0.999);
  }
});

test('what is computed again in the backward pass gives the same loss and gradient, on fewer kept values', async () => {
  const samples = conversations();
  const groups = groupByPrefix(samples, 128);
  const kept = await step(float32, samples, groups);
  const again = await step({ ...float32, recompute: base.config.layers }, samples, groups);
  expect(again.loss).toBe(kept.loss);
  expect(cosine(again.gradient, kept.gradient)).toBeGreaterThan(1 - 1e-9);
  const graph = stepGraph({ base, shape: roomy(samples, groups), lora, ...float32, recompute: base.config.layers });
  // what the first pass makes in a layer is used in the first pass only
  const first = new Set(
    graph.nodes.flatMap(({ outputs }) => outputs.map(({ name }) => name)).filter((name) => /^layers\.\d+\./.test(name)),
  );
  const lossAt = graph.nodes.findIndex(({ op }) => op === 'linearCrossEntropy' || op === 'crossEntropy');
  const late = graph.nodes.slice(lossAt).flatMap(({ inputs }) => inputs.filter(({ name }) => first.has(name)));
  const layers = base.config.layers;
  const hidden = late.filter(({ shape }) => shape.length === 3 && shape[2] === base.config.hiddenSize);
  expect(new Set(hidden.map(({ name }) => name)).size).toBeLessThanOrEqual(layers + 1);
});
