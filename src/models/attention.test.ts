import { expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { Builder } from '../graph/builder.ts';
import { gradients } from '../graph/gradient.ts';
import type { Value } from '../graph/node.ts';
import { float32, floats, int64, sizeOf, type Tensor } from '../graph/tensor.ts';
import { openOnnx } from '../runtime/onnx.ts';
import { attendOver } from './attention.ts';
import { attentionMask } from './mask.ts';

const random = new Random(8);
const [HEADS, GROUPS, LENGTH, WIDTH] = [4, 2, 250, 8];

/** Loss and gradients of a random sum over what attention gives, with chunks or as one square. */
async function run(rows: number, window: number | undefined, chunked: boolean, feeds: Record<string, Tensor>) {
  const b = new Builder();
  const input = (name: string, heads: number) => b.input(name, 'float32', [rows, heads, LENGTH, WIDTH]);
  const [q, k, v] = [input('q', HEADS), input('k', GROUPS), input('v', GROUPS)];
  const index = (name: string) => b.input(name, 'int64', [rows, LENGTH]);
  const inputs = { ids: index('ids'), positions: index('positions'), segments: index('segments') };
  const whole = (...of: [Value, Value, Value]) => b.attention(...of, attentionMask(b, inputs, window), 0.3);
  const o = chunked ? attendOver(b, inputs, window)(q, k, v, 0.3) : whole(q, k, v);
  const loss = b.reduceSum(b.reshape(b.mul(o, input('dO', HEADS)), [rows * HEADS * LENGTH * WIDTH]), [0]);
  gradients(b, loss, [q, k, v]).forEach((gradient, i) => {
    b.output(`d${i}`, gradient);
  });
  b.output('loss', loss);
  const graph = b.graph();
  const session = await openOnnx(graph, { threads: 1 });
  const results = await session.run(Object.fromEntries(graph.inputs.map(({ name }) => [name, feeds[name]])));
  await session.close();
  return { results, products: graph.nodes.filter(({ op }) => op === 'attention').length };
}

test.each([
  [1, undefined],
  [2, undefined],
  [2, 40],
])('chunks of queries skip only keys that come after them: %i rows, window %s', async (rows, window) => {
  const normal = (heads: number) => {
    const shape = [rows, heads, LENGTH, WIDTH];
    return float32(
      shape,
      Float32Array.from({ length: sizeOf(shape) }, () => random.normal()),
    );
  };
  const each = (value: (at: number) => number) =>
    int64(
      [rows, LENGTH],
      Array.from({ length: rows * LENGTH }, (_, i) => value(i % LENGTH)),
    );
  const feeds = {
    ...{ q: normal(HEADS), k: normal(GROUPS), v: normal(GROUPS), dO: normal(HEADS) },
    // two conversations in a row, and padding after them
    ...{
      ids: each(() => 0),
      positions: each((at) => at % 110),
      segments: each((at) => (at < 110 ? 1 : at < 220 ? 2 : -1)),
    },
  };
  const [chunked, square] = [await run(rows, window, true, feeds), await run(rows, window, false, feeds)];
  expect([chunked.products, square.products]).toEqual([2, 1]);
  for (const name of Object.keys(square.results)) {
    const [given, expected] = [floats(chunked.results[name]), floats(square.results[name])];
    const far = given.reduce((most, value, i) => Math.max(most, Math.abs(value - expected[i])), 0);
    expect(far).toBeLessThan(2e-4);
  }
});
