import koffi from 'koffi';
import { expect, it } from 'vitest';
import { alignedCopy, alignedFloats } from './aligned.ts';

it.each([0, 1, 15, 16, 1000, 3_000_001])('begins arrays of %i numbers with a cache line', (length) => {
  const array = alignedFloats(length);
  expect(array).toHaveLength(length);
  expect(array.every((x) => x === 0)).toBe(true);
  if (length > 0) expect(koffi.address(array) % 64n).toBe(0n);
});

it('copies', () => {
  const values = Float32Array.of(1, -2, 3);
  const copy = alignedCopy(values);
  expect([...copy]).toEqual([1, -2, 3]);
  values[0] = 0;
  expect(copy[0]).toBe(1);
});
