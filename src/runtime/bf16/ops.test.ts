// Every op that has a kernel: its result, and that of its gradient, against the reference implementation.
import { readFileSync } from 'node:fs';
import { describe, expect, it } from 'vitest';
import { sourceHash } from '../../../scripts/native.ts';
import { caseGraph, differentiable } from '../../../test/case-graph.ts';
import { expectClose } from '../../../test/expect-close.ts';
import type { OpName } from '../../graph/op.ts';
import { CASES, type OpCase } from '../../graph/ops/cases.ts';
import { openReference } from '../reference.ts';
import { type Instructions, loadBf16, whyNoBf16 } from './library.ts';
import { unknownOps } from './ops.ts';
import { openBf16 } from './session.ts';

/** bfloat16 has 8 bits: sums of few products are off by some of its half steps. */
const ROUNDED = 0.02;
const MULTIPLYING: ReadonlySet<OpName> = new Set([
  'matmul',
  'attention',
  'linearCrossEntropy',
  'linearCrossEntropyGradient',
]);
/** By decision: experts, and what is computed in int8 or int4. */
const ELSEWHERE: readonly OpName[] = [
  ...(['topMask', 'dispatch', 'partition', 'unite'] as const),
  ...(['int8MatMul', 'quantise', 'int8Linear', 'int8Outer', 'int4MatMul'] as const),
];

const all = (Object.entries(CASES) as [OpName, readonly OpCase[]][]).flatMap(([op, cases]) =>
  cases.map((opCase, i) => [op, i, opCase, caseGraph(opCase, differentiable(opCase))] as const),
);
const known = all.filter(([, , , graph]) => unknownOps(graph.nodes).size === 0);

it('there are kernels for all ops but those of experts and of integers', () => {
  const without = Object.keys(CASES).filter((op) => !known.some(([name]) => name === op));
  expect(without.sort()).toEqual([...ELSEWHERE].sort());
});

it('the library was made of the sources beside it', () => {
  const library = readFileSync(new URL('../../../native/linux-x64.so', import.meta.url));
  expect(library.includes(sourceHash())).toBe(true);
});

describe.skipIf(whyNoBf16())('bfloat16', () => {
  const both: readonly Instructions[] =
    whyNoBf16() || loadBf16().instructions !== 'amx' ? ['avx512'] : ['amx', 'avx512'];
  describe.each(both)('%s', (instructions) => {
    it.each(known)(
      '%s %i agrees with the reference, and does not depend on the threads',
      async (_op, _i, opCase, graph) => {
        const expected = await openReference(graph).run(opCase.inputs);
        const results = await Promise.all(
          [1, 3].map(async (threads) => {
            const session = openBf16(graph, { threads, instructions });
            const result = await session.run(opCase.inputs);
            await session.close();
            return result;
          }),
        );
        const rounded = graph.nodes.some(({ op }) => MULTIPLYING.has(op));
        for (const name of graph.outputs.keys()) {
          expectClose(results[0][name], expected[name], Math.max(opCase.tolerance ?? 1e-5, rounded ? ROUNDED : 0));
          expect(results[1][name].data).toEqual(results[0][name].data);
        }
      },
    );
  });
});
