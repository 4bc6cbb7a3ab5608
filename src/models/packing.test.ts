// Packed conversations compute what each would alone: no leak between segments, and a shared prefix counts for all.
import { expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { Builder } from '../graph/builder.ts';
import { floats, int64, sizeOf } from '../graph/tensor.ts';
import { openOnnx } from '../runtime/onnx.ts';
import { llama } from './llama.ts';
import { modelInputs } from './loss.ts';
import type { PackLayout } from './model.ts';
import { constantWeights } from './weights.ts';

const CONFIG = llama.parseConfig({
  model_type: 'llama',
  hidden_size: 16,
  num_hidden_layers: 2,
  num_attention_heads: 4,
  num_key_value_heads: 2,
  intermediate_size: 24,
  vocab_size: 31,
  tie_word_embeddings: true,
});

async function openModel(layout?: PackLayout) {
  const b = new Builder();
  const source = { names: () => [], shape: () => [], read: randomWeight };
  const inputs = layout ? { ...modelInputs(b, 1, tokensOf(layout)), layout } : modelInputs(b);
  b.output('hidden', llama.forward(b, CONFIG, inputs, constantWeights(b, source)));
  const session = await openOnnx(b.graph());
  const run = async (ids: number[], positions: number[], segments: number[]) => {
    const row = (data: number[]) => int64([1, data.length], data);
    const { hidden } = await session.run({ ids: row(ids), positions: row(positions), segments: row(segments) });
    return floats(hidden);
  };
  return { run, close: () => session.close() };
}

const tokensOf = ({ prefix, rows, length }: PackLayout) => prefix + rows * length;

function randomWeight(name: string): Float32Array {
  const random = new Random([...name].reduce((sum, c) => sum * 31 + c.charCodeAt(0), 7));
  const size = sizeOf(llama.weightShapes(CONFIG).get(name)!);
  return Float32Array.from({ length: size }, () => random.normal() * 0.3);
}

const counting = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);

function difference(a: Float32Array, b: Float32Array): number {
  expect(a.length).toBe(b.length);
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - b[i])), 0);
}

it('gives each packed conversation the hidden states it has alone', async () => {
  const { run, close } = await openModel();
  const [first, second] = [
    [3, 1, 4, 1, 5],
    [9, 2, 6],
  ];
  const packed = await run([...first, ...second], [...counting(0, 5), ...counting(0, 3)], [1, 1, 1, 1, 1, 2, 2, 2]);
  const alone = await run(second, counting(0, 3), [1, 1, 1]);
  await close();
  expect(difference(packed.slice(5 * 16), alone)).toBeLessThan(1e-5);
});

it('does not let a later conversation see an earlier one', async () => {
  const { run, close } = await openModel();
  const at = (ids: number[]) => run(ids, [0, 1, 2, 0, 1], [1, 1, 1, 2, 2]);
  const [one, other] = [await at([3, 1, 4, 9, 2]), await at([7, 8, 30, 9, 2])];
  await close();
  expect(difference(one.slice(48), other.slice(48))).toBe(0);
  expect(difference(one.slice(0, 48), other.slice(0, 48))).toBeGreaterThan(0.1);
});

it('lets every conversation see the shared prefix as if it stood before it', async () => {
  const { run, close } = await openModel();
  const [prefix, first, second] = [
    [8, 8, 1],
    [3, 1],
    [9, 2, 6],
  ];
  const ids = [...prefix, ...first, ...second];
  const packed = await run(ids, [0, 1, 2, 3, 4, 3, 4, 5], [0, 0, 0, 1, 1, 2, 2, 2]);
  const alone = await run([...prefix, ...second], counting(0, 6), [1, 1, 1, 1, 1, 1]);
  await close();
  expect(difference(packed.slice(5 * 16), alone.slice(3 * 16))).toBeLessThan(1e-5);
});

it.each([
  { prefix: 4, rows: 2, length: 5 },
  { prefix: 0, rows: 2, length: 5 },
])('computes the same with the layout $prefix + $rows x $length known', async (layout) => {
  const random = new Random(3);
  const ids = Array.from({ length: tokensOf(layout) }, () => random.below(31));
  // one token of the prefix and one of the second row are padding
  const segments = [...[0, 0, 0, -1].slice(0, layout.prefix), 1, 1, 1, 2, 2, 3, 3, 3, 3, -1];
  const positions = [...[0, 1, 2, 0].slice(0, layout.prefix), 3, 4, 5, 3, 4, 3, 4, 5, 6, 0];
  const [plain, packed] = [await openModel(), await openModel(layout)];
  const [expected, actual] = [await plain.run(ids, positions, segments), await packed.run(ids, positions, segments)];
  await Promise.all([plain.close(), packed.close()]);
  const counted = segments.flatMap((segment, i) => (segment >= 0 ? [i] : []));
  const rows = (x: Float32Array) => Float32Array.from(counted.flatMap((i) => [...x.slice(i * 16, i * 16 + 16)]));
  expect(difference(rows(actual), rows(expected))).toBeLessThan(1e-5);
});
