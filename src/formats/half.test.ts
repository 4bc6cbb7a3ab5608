// 16-bit floats: every half survives the round trip, and rounding is to nearest even.
import { expect, it } from 'vitest';
import { floatToBfloat, floatToHalf, halfTable } from './half.ts';

it('writes back every half it reads', () => {
  const table = halfTable();
  const wrong = [...table.keys()].filter((bits) => !Number.isNaN(table[bits]) && floatToHalf(table[bits]) !== bits);
  expect(wrong).toEqual([]);
});

it.each([
  [1 + 2 ** -11, 0x3c00],
  [1 + 3 * 2 ** -11, 0x3c02],
  [1 + 2 ** -11 + 2 ** -20, 0x3c01],
  [65_519, 0x7bff],
  [65_520, 0x7c00],
  [-1e9, 0xfc00],
  [2 ** -25, 0],
  [1.5 * 2 ** -24, 2],
  [2 ** -24, 1],
  [-0, 0x8000],
  [Number.NaN, 0x7e00],
])('rounds %f to nearest even', (value, bits) => {
  expect(floatToHalf(value)).toBe(bits);
});

it('rounds to bfloat16 to nearest even and keeps what is not finite', () => {
  expect(floatToBfloat(1)).toBe(0x3f80);
  expect(floatToBfloat(1 + 2 ** -8)).toBe(0x3f80);
  expect(floatToBfloat(1 + 3 * 2 ** -8)).toBe(0x3f82);
  expect(floatToBfloat(Number.NEGATIVE_INFINITY)).toBe(0xff80);
  expect(floatToBfloat(Number.NaN) & 0x7fc0).toBe(0x7fc0);
});
