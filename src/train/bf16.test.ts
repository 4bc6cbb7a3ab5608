// Every weight in bfloat16, family by family: gradients against float32's, the same bits each time, and errors in place of faults.
import { describe, expect, it } from 'vitest';
import { cosine } from '../../test/cosine.ts';
import { readFixture } from '../../test/reference/fixture.ts';
import { floats, int64, type Tensor } from '../graph/tensor.ts';
import { familyOf } from '../models/families.ts';
import { type Instructions, loadBf16, whyNoBf16 } from '../runtime/bf16/library.ts';
import { openOnnx } from '../runtime/onnx.ts';
import { type FullPrecision, fullLayout, tensorsOf, thetaOf } from './full.ts';
import { fullStepGraph, OWN_WAYS } from './full-trainer.ts';
import type { BaseModel } from './step-graph.ts';

const counting = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const SHAPES = {
  'a shared prefix': { prefix: 6, rows: 2, length: 9 },
  'rows in several chunks': { prefix: 0, rows: 1, length: 300 },
} as const;

function baseOf(name: string): BaseModel {
  const { config, tensors } = readFixture(name);
  const family = familyOf(config);
  const tensor = (weight: string) => tensors.get(`weight/${weight}`)!;
  const read = (weight: string) => floats(tensor(weight));
  const weights = { names: () => [], shape: (weight: string) => tensor(weight).shape, read };
  return { family, config: family.parseConfig(config), weights };
}

function feedsOf({ prefix, rows, length }: (typeof SHAPES)[keyof typeof SHAPES]): Record<string, Tensor> {
  const tokens = prefix + rows * length;
  const row = counting(0, rows);
  const ids = counting(0, tokens).map((i) => (i * 7) % 61);
  const positions = [...counting(0, prefix), ...row.flatMap(() => counting(prefix, length))];
  const segments = [...new Array(prefix).fill(0), ...row.flatMap((i) => new Array(length).fill(i + 1))];
  return {
    ids: int64([1, tokens], ids),
    positions: int64([1, tokens], positions),
    segments: int64([1, tokens], segments),
    lossAt: int64([3], [prefix + 2, tokens - 3, tokens - 1]),
    targets: int64([3], [3, 1, 15]),
    weights: { dtype: 'float32', shape: [3], data: new Float32Array(3).fill(1 / 3) },
  };
}

interface Way {
  readonly bf16?: { readonly instructions?: Instructions };
  readonly threads: number;
  readonly recompute?: number;
  readonly precision?: FullPrecision;
}

async function stepOf(
  name: string,
  of: keyof typeof SHAPES,
  { bf16, threads, recompute, precision = { kind: 'float32' } }: Way,
  changed = {},
) {
  const base = baseOf(name);
  const layout = fullLayout(base.family.weightShapes(base.config));
  const graph = fullStepGraph({ base, layout, precision, recompute, shape: SHAPES[of], ways: bf16 && OWN_WAYS });
  const session = await openOnnx(graph, { threads, bf16 });
  const gradient = new Float32Array(layout.size);
  const weights = tensorsOf(layout, thetaOf(layout, base.weights));
  try {
    const feeds = { ...feedsOf(SHAPES[of]), ...weights, ...changed };
    const { loss } = await session.run(feeds, tensorsOf(layout, gradient, 'gradient.'));
    return { loss: floats(loss)[0], gradient, layout };
  } finally {
    await session.close();
  }
}

describe.skipIf(whyNoBf16())('every weight in bfloat16', () => {
  const amx = !whyNoBf16() && loadBf16().instructions === 'amx';
  const cases = (Object.keys(SHAPES) as (keyof typeof SHAPES)[]).flatMap((of) =>
    ['qwen2', 'qwen3', 'gemma3'].map((name) => [name, of] as const),
  );
  it.each(cases)("%s with %s: every gradient points where float32's does", async (name, of) => {
    const exact = await stepOf(name, of, { threads: 1 });
    for (const instructions of amx ? (['amx', 'avx512'] as const) : (['avx512'] as const)) {
      const own = await stepOf(name, of, { bf16: { instructions }, threads: 2 });
      expect(Math.abs(own.loss / exact.loss - 1)).toBeLessThan(0.01);
      for (const { name: weight, start, size, shape } of own.layout.tensors) {
        const [a, b] = [own, exact].map(({ gradient }) => gradient.subarray(start, start + size));
        if (b.every((x) => Math.abs(x) < 1e-7)) continue;
        expect(cosine(a, b), weight).toBeGreaterThan(shape.length === 2 ? 0.99 : 0.95);
      }
    }
  });

  const narrow = (gradients: 'inputs' | 'all') => ({ kind: 'narrow', gradients }) as const;

  it.each(
    cases.flatMap(([name, of]) => (['inputs', 'all'] as const).map((gradients) => [name, of, gradients] as const)),
  )(
    '%s with %s in int8 (%s): gradients point as well as those of other engines in int8',
    async (name, of, gradients) => {
      const exact = await stepOf(name, of, { threads: 1 });
      const ways = amx ? (['amx', 'avx512'] as const) : (['avx512'] as const);
      const all = await Promise.all(
        ways.map((instructions) =>
          stepOf(name, of, { bf16: { instructions }, threads: 2, precision: narrow(gradients) }),
        ),
      );
      const { layout } = exact;
      const matrices = layout.tensors.filter(({ shape }) => shape.length === 2);
      const likeness = matrices.map(({ start, size }) =>
        cosine(all[0].gradient.subarray(start, start + size), exact.gradient.subarray(start, start + size)),
      );
      expect(likeness.reduce((sum, x) => sum + x, 0) / likeness.length).toBeGreaterThan(0.97);
      expect(Math.abs(all[0].loss / exact.loss - 1)).toBeLessThan(0.05);
      // sums in int32 are exact: both kinds of instructions differ where bfloat16 takes part alone
      for (const other of all.slice(1)) expect(cosine(other.gradient, all[0].gradient)).toBeGreaterThan(0.999);
    },
  );

  it.each([{ kind: 'float32' }, narrow('inputs'), narrow('all')] as const)(
    'gives the same bits however many threads there are, and whether or not layers are computed again: %j',
    async (precision) => {
      const of = 'rows in several chunks';
      const one = await stepOf('qwen3', of, { bf16: {}, threads: 1, precision });
      for (const way of [{ threads: 2 }, { threads: 3 }, { threads: 2, recompute: 2 }]) {
        const other = await stepOf('qwen3', of, { bf16: {}, precision, ...way });
        expect(other.loss).toBe(one.loss);
        expect(other.gradient).toEqual(one.gradient);
      }
    },
  );

  it.each([
    ['ids', -1],
    ['ids', 1_000_000],
    ['positions', 1_000_000],
    ['targets', 1_000_000],
  ])('%s with a %i among them end in an error', async (input, wrong) => {
    const { [input]: tensor } = feedsOf(SHAPES['a shared prefix']);
    const data = BigInt64Array.from(tensor.data as BigInt64Array);
    data[1] = BigInt(wrong);
    const run = stepOf('qwen3', 'a shared prefix', { bf16: {}, threads: 2 }, { [input]: { ...tensor, data } });
    await expect(run).rejects.toThrow(/beyond its table/);
  });
});
