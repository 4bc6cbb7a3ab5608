// Products in bfloat16 and int8, one and several whose results are added, against the reference implementation.
import { describe, expect, it } from 'vitest';
import { caseGraph } from '../../../test/case-graph.ts';
import { cosine } from '../../../test/cosine.ts';
import { expectClose } from '../../../test/expect-close.ts';
import { Random } from '../../base/random.ts';
import type { OpCase } from '../../graph/ops/cases.ts';
import { float32, floats } from '../../graph/tensor.ts';
import { openReference } from '../reference.ts';
import { type Instructions, loadBf16, whyNoBf16 } from './library.ts';
import { openBf16 } from './session.ts';

const random = new Random(5);
/** A matrix with a few columns that are far larger than the others, as hidden states have them. */
const matrix = (rows: number, columns: number, outliers = 0, by = 20) =>
  float32(
    [rows, columns],
    Float32Array.from({ length: rows * columns }, (_, i) => random.normal() * (i % columns < outliers ? by : 1)),
  );

async function computed(opCase: OpCase, wrt: readonly string[], instructions: Instructions, threads = 2) {
  const graph = caseGraph(opCase, wrt);
  const session = openBf16(graph, { threads, instructions });
  const [own, expected] = [await session.run(opCase.inputs), await openReference(graph).run(opCase.inputs)];
  await session.close();
  return { own, expected };
}

describe.skipIf(whyNoBf16())('products', () => {
  const both: readonly Instructions[] =
    whyNoBf16() || loadBf16().instructions !== 'amx' ? ['avx512'] : ['amx', 'avx512'];
  const ways = both.flatMap((instructions) =>
    ([undefined, 'inputs', 'all'] as const).map((narrow) => [instructions, narrow] as const),
  );

  it.each(ways)(
    '%s, in int8: %s, sizes that fill no tile, and sums in several chunks',
    async (instructions, narrow) => {
      for (const [M, N, K] of [
        [70, 90, 150],
        [33, 17, 83],
        [5, 640, 64],
        [40, 50, 4200],
        [20, 33, 8250],
      ]) {
        const inputs = { a: matrix(M, K), w: matrix(N, K) };
        const opCase: OpCase = {
          inputs,
          build: (g, { a, w }) => [g.matmul(a, w, { transB: true, alpha: 0.5, narrow })],
        };
        const { own, expected } = await computed(opCase, ['a', 'w'], instructions);
        for (const name of ['y0', 'da', 'dw']) expectClose(own[name], expected[name], narrow ? 0.02 : 0.01);
      }
    },
  );

  it.each(ways)('%s, in int8: %s, three that are added, and what they are added to', async (instructions, narrow) => {
    const [M, N] = [70, 600];
    const inputs = {
      ...{ a: matrix(M, 64), b: matrix(M, 200), c: matrix(M, 2500), x: matrix(M, N) },
      ...{ u: matrix(N, 64), v: matrix(N, 200), w: matrix(N, 2500) },
    };
    const opCase: OpCase = {
      inputs,
      build: (g, { a, b, c, u, v, w, x }) => {
        const times = (left: typeof a, right: typeof a) => g.matmul(left, right, { transB: true, narrow });
        return [g.add(g.add(g.add(times(a, u), x), times(b, v)), times(c, w))];
      },
    };
    const { own, expected } = await computed(opCase, [], instructions);
    expectClose(own.y0, expected.y0, narrow ? 0.02 : 0.01);
  });

  it('long rows with one number that is far larger keep the others', async () => {
    const [M, N, K] = [20, 40, 10_000];
    const a = matrix(M, K);
    for (let row = 0; row < M; row++) floats(a)[row * K + 7 * row] = 1000;
    // what the large numbers meet
    const w = matrix(N, K);
    for (let i = 0; i < N * K; i++) if (i % K < 7 * M) floats(w)[i] = 0;
    const opCase: OpCase = { inputs: { a, w }, build: (g, v) => [g.matmul(v.a, v.w, { transB: true, narrow: 'all' })] };
    const { own, expected } = await computed(opCase, [], both[0]);
    const [y, exact] = [own, expected].map(({ y0 }) => floats(y0));
    // a level for all of a row would be 8, and they are 1
    expect(cosine(y, exact)).toBeGreaterThan(0.98);
  });

  it('rotating keeps what large columns would round away', async () => {
    const inputs = { a: matrix(64, 256, 4, 20), w: matrix(64, 256, 4, 1 / 20) };
    const opCase: OpCase = { inputs, build: (g, { a, w }) => [g.matmul(a, w, { transB: true, narrow: 'all' })] };
    const { own, expected } = await computed(opCase, [], both[0]);
    const [y, exact] = [own, expected].map(({ y0 }) => floats(y0));
    const norm = (of: (i: number) => number) => Math.sqrt(exact.reduce((sum, _, i) => sum + of(i) ** 2, 0));
    // 0.044; without the rotation 0.073
    expect(norm((i) => y[i] - exact[i]) / norm((i) => exact[i])).toBeLessThan(0.055);
  });
});
