import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { openvinoFolder } from '../../test/openvino.ts';
import { Random } from '../base/random.ts';
import { resolveModel } from '../catalog/resolve.ts';
import { type Checkpoint, openCheckpoint } from '../formats/checkpoint.ts';
import { familyOf } from '../models/families.ts';
import type { OpenvinoOptions } from '../runtime/openvino.ts';
import { toSamples } from './examples.ts';
import type { Precision } from './frozen.ts';
import { type FullPrecision, fullLayout } from './full.ts';
import { fullPrecision, openFullTrainer } from './full-trainer.ts';
import { initialTheta, loraLayout } from './lora.ts';
import type { BaseModel } from './step-graph.ts';
import { int8Precision, openTrainer, planPacking, type Trainer } from './trainer.ts';

const EXAMPLE = new URL('../../examples/support-desk/traffic.jsonl', import.meta.url);
const TARGETS = ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'];
let student: Checkpoint;

beforeAll(async () => {
  student = openCheckpoint((await resolveModel('smollm2-135m-instruct')).path);
});
afterAll(() => student.close());

/** With ONNX Runtime, and with OpenVINO, which computes in bfloat16 between the products. */
const ENGINES = [
  ['ONNX Runtime', undefined],
  ...(openvinoFolder ? [['OpenVINO', { folder: openvinoFolder }] as const] : []),
] as const;

/** SmolLM2 and a batch of the example. */
function material(tokens: number) {
  const family = familyOf(student.config);
  const base: BaseModel = { family, config: family.parseConfig(student.config), weights: student.weights };
  const rows = readFileSync(EXAMPLE, 'utf8')
    .split('\n')
    .slice(0, 8)
    .map((line) => JSON.parse(line));
  const { samples } = toSamples(rows, student.chatTemplate!, student.tokenizer, tokens);
  const [training, checking] = [planPacking(samples, tokens), planPacking(samples.slice(0, 1), tokens)];
  return { base, shapes: family.weightShapes(base.config), training, checking };
}

/** The gradient of one step. */
async function gradientOf(trainer: Trainer, theta: Float32Array): Promise<Float32Array> {
  const { gradient } = await trainer.step(theta, 0);
  await trainer.close();
  return gradient.slice();
}

test.each(ENGINES)(
  'every LoRA gradient in int8 points where it does in float32, with %s: mean cosine at least 0.97',
  async (_, openvino) => {
    const { base, shapes, training, checking } = material(512);
    const lora = loraLayout(shapes, { rank: 8, alpha: 16, targets: TARGETS });
    const random = new Random(9);
    // B is zero at the start, and then A has no gradient to compare
    const theta = initialTheta(lora, 1).map((value) => value + 0.01 * random.normal());
    const gradient = async (precision: Precision, engine?: OpenvinoOptions) => {
      const options = { base, lora, precision, weighting: 'token', seed: 1, runtime: { openvino: engine } } as const;
      return gradientOf(await openTrainer(training, checking, options), theta);
    };
    const exact = await gradient({ kind: 'float32' });
    const coarse = await gradient(await int8Precision({}), openvino);
    const cosines = lora.adapters.flatMap(({ a, b, inputs, outputs }) => [
      cosine(exact, coarse, a, 8 * inputs),
      cosine(exact, coarse, b, 8 * outputs),
    ]);
    expect(cosines).toHaveLength(420);
    expect(mean(cosines)).toBeGreaterThan(0.97);
  },
  300_000,
);

test('so does the gradient of every weight, with each', async () => {
  const { base, shapes, training, checking } = material(256);
  const layout = fullLayout(shapes);
  const gradient = async (precision: FullPrecision, openvino?: OpenvinoOptions) => {
    const options = { base, layout, precision, weighting: 'token', seed: 1, runtime: { openvino } } as const;
    const trainer = await openFullTrainer(training, checking, options);
    return gradientOf(trainer, trainer.initial);
  };
  const exact = await gradient({ kind: 'float32' });
  const int8 = fullPrecision(await int8Precision({}));
  for (const [engine, openvino] of ENGINES) {
    const coarse = await gradient(int8, openvino);
    const cosines = layout.tensors.map(({ start, size }) => cosine(exact, coarse, start, size));
    expect(cosines, engine).toHaveLength(272);
    expect(mean(cosines), engine).toBeGreaterThan(0.97);
    expect(Math.min(...cosines), engine).toBeGreaterThan(0.8);
  }
  // a minute on two quiet cores
}, 300_000);

function mean(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function cosine(x: Float32Array, y: Float32Array, from: number, count: number): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = from; i < from + count; i++) {
    xy += x[i] * y[i];
    xx += x[i] ** 2;
    yy += y[i] ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}
