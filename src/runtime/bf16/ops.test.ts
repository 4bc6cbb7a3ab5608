// Every op that has a kernel: its result, and that of its gradient, against the reference implementation.
import { describe, expect, it } from 'vitest';
import { caseGraph, differentiable } from '../../../test/case-graph.ts';
import { expectClose } from '../../../test/expect-close.ts';
import type { OpName } from '../../graph/op.ts';
import { CASES, type OpCase } from '../../graph/ops/cases.ts';
import { openReference } from '../reference.ts';
import { whyNoBf16 } from './library.ts';
import { unknownOps } from './ops.ts';
import { openBf16 } from './session.ts';

/** Half of bfloat16's step, for sums of few products. */
const PRODUCT = 0.02;

describe.skipIf(whyNoBf16())('bfloat16', () => {
  const all = (Object.entries(CASES) as [OpName, readonly OpCase[]][]).flatMap(([op, cases]) =>
    cases.map((opCase, i) => [op, i, opCase] as const),
  );
  it.each(all)('%s %i', async (_op, _i, opCase) => {
    const graph = caseGraph(opCase, differentiable(opCase));
    if (unknownOps(graph.nodes).size > 0) return;
    const products = graph.nodes.some(({ op }) => ['matmul', 'attention', 'linearCrossEntropy'].includes(op));
    const expected = await openReference(graph).run(opCase.inputs);
    for (const threads of [1, 2]) {
      const session = openBf16(graph, { threads });
      const results = await session.run(opCase.inputs);
      await session.close();
      for (const name of graph.outputs.keys())
        expectClose(results[name], expected[name], Math.max(opCase.tolerance ?? 1e-5, products ? PRODUCT : 0));
    }
  });
});

void expect;
