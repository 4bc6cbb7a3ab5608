import { expect, test } from 'vitest';
import { usualRate } from './rate.ts';

test('adapters take one rate in models of any width, every weight less, and still less in wide ones', () => {
  expect(usualRate({}, { hiddenSize: 576 })).toBe(0.001);
  expect(usualRate({}, { hiddenSize: 2048 })).toBe(0.001);
  expect(usualRate({}, { hiddenSize: 576 }, true)).toBeCloseTo(2e-4, 10);
  expect(usualRate({}, { hiddenSize: 64 }, true)).toBeCloseTo(2e-4, 10);
  expect(usualRate({}, { hiddenSize: 1152 }, true)).toBeCloseTo(1e-4, 10);
});

test('Lion takes a tenth, and families that diverge their share', () => {
  expect(usualRate({}, { hiddenSize: 576 }, true, 'lion')).toBeCloseTo(2e-5, 10);
  expect(usualRate({ rateShare: 0.3 }, { hiddenSize: 576 }, false, 'adamw')).toBeCloseTo(3e-4, 10);
});
