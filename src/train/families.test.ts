// LoRA on every family, experts included: a training step's gradient against finite differences, and in int8 against float32.
import { expect, it } from 'vitest';
import { readFixture } from '../../test/reference/fixture.ts';
import { Random } from '../base/random.ts';
import { floats, int64, type Tensor } from '../graph/tensor.ts';
import { familyOf } from '../models/families.ts';
import { openOnnx } from '../runtime/onnx.ts';
import type { Precision } from './frozen.ts';
import { initialTheta, loraLayout } from './lora.ts';
import { type BaseModel, stepGraph } from './step-graph.ts';

const SHAPE = { prefix: 6, rows: 2, length: 9 };
const TOKENS = 24;
const EVERY = { q_proj: 0, kv_b_proj: 0, o_proj: 0, gate_proj: 0, up_proj: 0, down_proj: 0, w1: 0, w2: 0, w3: 0 };

function baseOf(name: string): BaseModel {
  const { config, tensors } = readFixture(name);
  const family = familyOf(config);
  const tensor = (weight: string) => tensors.get(`weight/${weight}`)!;
  const weights = {
    names: () => [],
    shape: (weight: string) => tensor(weight).shape,
    read: (weight: string) => floats(tensor(weight)),
  };
  return { family, config: family.parseConfig(config), weights };
}

const counting = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const FEEDS: Record<string, Tensor> = {
  ids: int64(
    [1, TOKENS],
    counting(0, TOKENS).map((i) => (i * 7) % 61),
  ),
  positions: int64([1, TOKENS], [...counting(0, 6), ...counting(6, 9), ...counting(6, 9)]),
  segments: int64([1, TOKENS], [...new Array(6).fill(0), ...new Array(9).fill(1), ...new Array(9).fill(2)]),
  lossAt: int64([4], [9, 12, 19, 23]),
  targets: int64([4], [3, 1, 4, 15]),
  weights: { dtype: 'float32', shape: [4], data: new Float32Array(4).fill(0.25) },
};

async function openStep(name: string, precision: Precision) {
  const base = baseOf(name);
  const shapes = base.family.weightShapes(base.config);
  const ends = new Set([...shapes.keys()].map((key) => key.split('.').at(-2)!));
  const targets = Object.keys(EVERY).filter((target) => ends.has(target));
  const lora = loraLayout(shapes, { rank: 2, alpha: 2, targets });
  const session = await openOnnx(stepGraph({ base, shape: SHAPE, lora, precision }), { threads: 1 });
  const step = async (theta: Float32Array) => {
    const results = await session.run({ ...FEEDS, theta: { dtype: 'float32', shape: [lora.size], data: theta } });
    return { loss: floats(results.loss)[0], gradient: floats(results.gradient) };
  };
  return { lora, step, close: () => session.close() };
}

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, value, i) => sum + value * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}

it.each(['qwen2', 'qwen3', 'gemma3', 'mixtral', 'qwen3-moe', 'deepseek-v2'])(
  '%s: the gradient of the adapters is the slope of the loss',
  async (name) => {
    const { lora, step, close } = await openStep(name, { kind: 'float32' });
    const random = new Random(3);
    const theta = initialTheta(lora, 1).map((value) => value + 0.02 * random.normal());
    const { gradient } = await step(theta);
    const size = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
    // along the gradient the slope is its length; small steps, or tokens change their experts
    const at = (by: number) => step(theta.map((value, i) => value + (by * gradient[i]) / size));
    const slope = ((await at(2e-3)).loss - (await at(-2e-3)).loss) / 4e-3;
    await close();
    expect(lora.adapters.some(({ module }) => module.includes('experts'))).toBe(/mixtral|moe|deepseek/.test(name));
    expect(Math.abs(slope / size - 1)).toBeLessThan(0.01);
  },
);

it.each(['gemma3', 'mixtral', 'deepseek-v2'])('%s: int8 weights point the same way', async (name) => {
  const [exact, coarse] = [
    await openStep(name, { kind: 'float32' }),
    await openStep(name, { kind: 'int8', levels: 63 }),
  ];
  const random = new Random(3);
  const theta = initialTheta(exact.lora, 1).map((value) => value + 0.02 * random.normal());
  const [a, b] = [await exact.step(theta), await coarse.step(theta)];
  await exact.close();
  await coarse.close();
  expect(b.loss).not.toBe(a.loss);
  expect(Math.abs(b.loss / a.loss - 1)).toBeLessThan(0.05);
  expect(cosine(a.gradient, b.gradient)).toBeGreaterThan(0.9);
});
