// Tensors that shall be alike.
import { expect } from 'vitest';
import type { Tensor } from '../src/graph/tensor.ts';

/** Of one shape, and no entry further apart than `tolerance` of the largest expected one, or of 1. */
export function expectClose(actual: Tensor, expected: Tensor, tolerance: number): void {
  expect(actual.shape).toEqual(expected.shape);
  const [a, e] = [actual, expected].map((tensor) => Array.from(tensor.data as ArrayLike<number | bigint>, Number));
  const scale = e.reduce((largest, v) => Math.max(largest, Math.abs(v)), 1);
  const furthest = a.reduce((most, value, i) => Math.max(most, Math.abs(value - e[i])), 0);
  expect(furthest).toBeLessThanOrEqual(tolerance * scale);
}
