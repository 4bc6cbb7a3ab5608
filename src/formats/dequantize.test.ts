// Every block format against values of gguf-py (test/reference/make_dequantize.py).
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { dequantize, READABLE_TYPES } from './dequantize.ts';
import type { GgmlTypeName } from './ggml-types.ts';

const file = new URL('../../test/reference/dequantize.json', import.meta.url);
const reference: Record<string, { bytes: string; values: string }> = JSON.parse(readFileSync(file, 'utf8'));

it('has a reference for every readable type', () => {
  expect(Object.keys(reference).sort()).toEqual([...READABLE_TYPES].sort());
});

it.each(Object.keys(reference))('%s equals the reference bit by bit', (type) => {
  const expected = new Uint8Array(Buffer.from(reference[type].values, 'base64'));
  const values = dequantize(type as GgmlTypeName, new Uint8Array(Buffer.from(reference[type].bytes, 'base64')));
  expect([...values]).toEqual([...new Float32Array(expected.buffer)]);
});

it('refuses types that are no weights', () => {
  expect(() => dequantize('I32', new Uint8Array(4))).toThrow(/I32/);
});
