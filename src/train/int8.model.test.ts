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
import { initialTheta, loraLayout } from './lora.ts';
import type { BaseModel } from './step-graph.ts';
import { int8Precision, openTrainer, planPacking } from './trainer.ts';

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

test.each(ENGINES)(
  'every LoRA gradient in int8 points where it does in float32, with %s: mean cosine at least 0.97',
  async (_, openvino) => {
    const family = familyOf(student.config);
    const base: BaseModel = { family, config: family.parseConfig(student.config), weights: student.weights };
    const lora = loraLayout(family.weightShapes(base.config), { rank: 8, alpha: 16, targets: TARGETS });
    const rows = readFileSync(EXAMPLE, 'utf8')
      .split('\n')
      .slice(0, 8)
      .map((line) => JSON.parse(line));
    const { samples } = toSamples(rows, student.chatTemplate!, student.tokenizer, 512);
    const packing = planPacking(samples, 512);
    const random = new Random(9);
    // B is zero at the start, and then A has no gradient to compare
    const theta = initialTheta(lora, 1).map((value) => value + 0.01 * random.normal());
    const gradient = async (precision: Precision, engine?: OpenvinoOptions) => {
      const trainer = await openTrainer(packing, planPacking(samples.slice(0, 1), 512), {
        base,
        lora,
        precision,
        weighting: 'token',
        seed: 1,
        runtime: { openvino: engine },
      });
      const { gradient: result } = await trainer.step(theta, 0);
      await trainer.close();
      return result.slice();
    };
    const exact = await gradient({ kind: 'float32' });
    const coarse = await gradient(await int8Precision({}), openvino);
    const cosines = lora.adapters.flatMap(({ a, b, inputs, outputs }) => [
      cosine(exact, coarse, a, 8 * inputs),
      cosine(exact, coarse, b, 8 * outputs),
    ]);
    expect(cosines).toHaveLength(420);
    expect(cosines.reduce((sum, value) => sum + value, 0) / cosines.length).toBeGreaterThan(0.97);
  },
);

function cosine(x: Float32Array, y: Float32Array, from: number, count: number): number {
  let [xy, xx, yy] = [0, 0, 0];
  for (let i = from; i < from + count; i++) {
    xy += x[i] * y[i];
    xx += x[i] ** 2;
    yy += y[i] ** 2;
  }
  return xy / Math.sqrt(xx * yy);
}
