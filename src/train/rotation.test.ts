import { expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { Builder } from '../graph/builder.ts';
import { floats } from '../graph/tensor.ts';
import { openReference } from '../runtime/reference.ts';
import { rotate, rotateRows } from './rotation.ts';

const random = new Random(3);
const normal = (size: number) => Float32Array.from({ length: size }, () => random.normal());

async function rotated(data: Float32Array, shape: number[]): Promise<Float32Array> {
  const b = new Builder();
  b.output('y', rotate(b, b.input('x', 'float32', shape)));
  const { y } = await openReference(b.graph()).run({ x: { dtype: 'float32', shape, data } });
  return floats(y);
}

const close = (a: Float32Array, b: Float32Array) =>
  a.forEach((value, i) => {
    expect(value).toBeCloseTo(b[i], 4);
  });

test.each([[64], [96], [24], [7]])(
  'the graph and the weights are rotated alike, and twice is not at all: width %i',
  async (width) => {
    const x = normal(3 * width);
    const once = await rotated(x, [1, 3, width]);
    close(rotateRows(x, width), once);
    close(await rotated(once, [1, 3, width]), x);
  },
);

test('products are unchanged, and an outlier is spread', async () => {
  const [x, w] = [normal(64), normal(64)];
  x[5] = 100;
  const [xr, wr] = [await rotated(x, [1, 1, 64]), rotateRows(w, 64)];
  const dot = (a: Float32Array, b: Float32Array) => a.reduce((sum, value, i) => sum + value * b[i], 0);
  expect(dot(xr, wr)).toBeCloseTo(dot(x, w), 3);
  expect(Math.max(...xr.map(Math.abs))).toBeLessThan(30);
});
