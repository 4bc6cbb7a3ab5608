// Bytes of tensors equal those of gguf-py (test/reference/make_quantize.py).
import { readFileSync } from 'node:fs';
import { expect, it } from 'vitest';
import { dequantize } from './dequantize.ts';
import { quantize } from './quantize.ts';

const reference = JSON.parse(readFileSync(new URL('../../test/reference/quantize.json', import.meta.url), 'utf8')) as {
  values: string;
  bytes: Record<'F16' | 'BF16' | 'Q8_0', string>;
};
const values = new Float32Array(new Uint8Array(Buffer.from(reference.values, 'base64')).buffer);

it.each(['F16', 'BF16', 'Q8_0'] as const)('%s bytes are those of gguf-py', (type) => {
  expect(Buffer.from(quantize(type, values)).toString('hex')).toBe(
    Buffer.from(reference.bytes[type], 'base64').toString('hex'),
  );
});

it('Q4_0 is never further from the values than a step of its block', () => {
  const back = dequantize('Q4_0', quantize('Q4_0', values));
  for (let from = 0; from < values.length; from += 32) {
    const block = values.subarray(from, from + 32);
    const most = block.reduce((largest, value) => Math.max(largest, Math.abs(value)), 0);
    block.forEach((value, i) => {
      // subnormal scales are rounded coarsely
      expect(Math.abs(back[from + i] - value)).toBeLessThanOrEqual(most / 7 + 1e-6);
    });
  }
});
