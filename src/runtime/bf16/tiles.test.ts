// Tiles of rows that a thread's memory does not hold.
import { expect, it } from 'vitest';
import { Builder } from '../../graph/builder.ts';
import type { Narrow } from '../../graph/op.ts';
import { bf16Memory } from './session.ts';

/** A norm of wide rows, and a small product that asks for blocks of 64 rows where it is narrow. */
function normOf(width: number, narrow?: Narrow) {
  const b = new Builder();
  b.output('y', b.rmsNorm(b.input('x', 'float32', [2, width]), b.input('w', 'float32', [width]), 1e-5));
  b.output('z', b.matmul(b.input('a', 'float32', [4, 8]), b.input('b', 'float32', [8, 4]), { narrow }));
  return b.graph();
}

it.each([
  [114_688, undefined],
  [57_344, 'all'],
] as const)('rows of %i numbers are the longest: %s', (width, narrow) => {
  expect(bf16Memory(normOf(width, narrow), new Map())).toBeGreaterThan(0);
  expect(() => bf16Memory(normOf(width + 1, narrow), new Map())).toThrow(
    `rows of ${width + 1} numbers are longer than Cupel's own kernels hold (${width})`,
  );
});
