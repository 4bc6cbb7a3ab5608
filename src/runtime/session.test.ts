// One suite for every runtime: symbols, buffers to write into, errors.
import { describe, expect, it } from 'vitest';
import { openvinoFolder } from '../../test/openvino.ts';
import { Builder } from '../graph/builder.ts';
import type { Graph } from '../graph/node.ts';
import { float32, floats, int64, zeros } from '../graph/tensor.ts';
import { openOnnx } from './onnx.ts';
import { openReference } from './reference.ts';
import type { Session } from './session.ts';

type Runtime = [string, (graph: Graph) => Session | Promise<Session>];
const RUNTIMES: Runtime[] = [
  ['reference', openReference],
  ['ONNX Runtime', (graph) => openOnnx(graph, { threads: 1 })],
  ['ONNX Runtime in two lanes', (graph) => openOnnx(graph, { threads: 2, lanes: 2 })],
  ['ONNX Runtime with rearranged weights', (graph) => openOnnx(graph, { threads: 1, prepack: true })],
  ...(openvinoFolder
    ? [['OpenVINO', (graph) => openOnnx(graph, { openvino: { folder: openvinoFolder!, precision: 'f32' } })] as Runtime]
    : []),
];

/** y = x @ W for W over the 1 KiB that stands in the model file; n counts the rows. */
function rows(): Graph {
  const b = new Builder();
  const x = b.input('x', 'float32', ['T', 32]);
  const w = b.constant('w', 'float32', [32, 16], () => Float32Array.from({ length: 512 }, (_, i) => (i % 7) - 3));
  b.output('y', b.matmul(x, w));
  b.output('n', b.iota(x, 0));
  return b.graph();
}

const ones = (count: number) => float32([count, 32], new Array(count * 32).fill(1));
const SUMS = Array.from({ length: 16 }, (_, column) => {
  let sum = 0;
  for (let row = 0; row < 32; row++) sum += ((row * 16 + column) % 7) - 3;
  return sum;
});

describe.each(RUNTIMES)('%s', (_, open) => {
  it('runs one graph at several sizes', async () => {
    const session = await open(rows());
    for (const count of [1, 3, 2]) {
      const { y, n } = await session.run({ x: ones(count) });
      expect(y.shape).toEqual([count, 16]);
      expect(Array.from(floats(y))).toEqual(Array.from({ length: count }, () => SUMS).flat());
      expect(n).toEqual(
        int64(
          [count],
          Array.from({ length: count }, (_x, i) => i),
        ),
      );
    }
    await session.close();
  });

  it('writes into the buffers it is given', async () => {
    const session = await open(rows());
    const y = zeros('float32', [1, 16]);
    const results = await session.run({ x: ones(1) }, { y });
    expect(Array.from(floats(y))).toEqual(SUMS);
    expect(results.y).toBe(y);
    await session.close();
  });

  it('names an input that is missing or does not fit', async () => {
    const session = await open(rows());
    const failure = { place: { field: 'x' } };
    await expect(session.run({})).rejects.toMatchObject(failure);
    await expect(session.run({ x: zeros('float32', [2, 31]) })).rejects.toMatchObject(failure);
    await expect(session.run({ x: zeros('int64', [2, 32]) })).rejects.toMatchObject(failure);
    await session.close();
  });
});
