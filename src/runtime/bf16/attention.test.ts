// Attention over more rows than a kernel takes at a time, against the reference implementation.
import { it } from 'vitest';
import { caseGraph } from '../../../test/case-graph.ts';
import { expectClose } from '../../../test/expect-close.ts';
import { Random } from '../../base/random.ts';
import type { OpCase } from '../../graph/ops/cases.ts';
import { float32, sizeOf } from '../../graph/tensor.ts';
import { openReference } from '../reference.ts';
import { whyNoBf16 } from './library.ts';
import { openBf16 } from './session.ts';

const random = new Random(3);
const normal = (...shape: number[]) =>
  float32(
    shape,
    Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
  );
/** Rows and keys: not whole blocks of 32. */
const [B, H, G, S, d, e] = [2, 4, 2, 107, 24, 40];

/** [B,1,S,S]: `sees` says whether a row looks at a key. */
function mask(sees: (batch: number, row: number, key: number) => boolean) {
  const at = (i: number) => [Math.floor(i / (S * S)), Math.floor(i / S) % S, i % S] as const;
  return float32(
    [B, 1, S, S],
    Float32Array.from({ length: B * S * S }, (_, i) => (sees(...at(i)) ? 0 : -1e9)),
  );
}

/** The first token of the text that a token is in: short texts, one after the other, others in each row of the batch. */
const start = (batch: number, at: number) => at - (at % (batch === 0 ? 41 : 23));

it.skipIf(whyNoBf16()).each([
  ['all before them', mask((_, row, key) => key <= row)],
  ['texts beside each other', mask((batch, row, key) => key <= row && key >= start(batch, row))],
  [
    'one text, and what comes before all of them',
    mask((batch, row, key) => key <= row && (key < 5 || key >= start(batch, row))),
  ],
  ['keys that few rows look at', mask((_, row, key) => key === row || (key < 40 && row % 50 === 3))],
])('rows that see %s', async (_, seen) => {
  const opCase: OpCase = {
    inputs: { q: normal(B, H, S, d), k: normal(B, G, S, d), v: normal(B, G, S, e), mask: seen },
    build: (g, { q, k, v, mask }) => [g.attention(q, k, v, mask, 0.3)],
  };
  const graph = caseGraph(opCase, ['q', 'k', 'v']);
  const session = openBf16(graph, { threads: 2 });
  const [own, expected] = [await session.run(opCase.inputs), await openReference(graph).run(opCase.inputs)];
  await session.close();
  for (const name of ['y0', 'dq', 'dk', 'dv']) expectClose(own[name], expected[name], 0.03);
});
