// Every op on OpenVINO against the reference implementation.
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { expectClose } from '../../test/expect-close.ts';
import { openvinoFolder } from '../../test/openvino.ts';
import { Random } from '../base/random.ts';
import { Builder } from '../graph/builder.ts';
import type { Graph } from '../graph/node.ts';
import { CASES, type OpCase } from '../graph/ops/cases.ts';
import { float32, floats, type Tensor } from '../graph/tensor.ts';
import { openOnnx } from './onnx.ts';
import { openOpenvino, openvinoPrecision, openvinoVersion } from './openvino.ts';
import { openReference } from './reference.ts';

const folder = openvinoFolder!;
const processor = existsSync('/proc/cpuinfo') ? readFileSync('/proc/cpuinfo', 'utf8') : '';
const vnni = /avx512_vnni|avx_vnni/.test(processor);
const cases = Object.entries(CASES).flatMap(([op, list]) =>
  (list as readonly OpCase[]).map((opCase, i) => [`${op} ${i}`, opCase] as const),
);

function graphOf({ inputs, build }: OpCase): Graph {
  const b = new Builder();
  const values = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, b.input(name, x.dtype, x.shape)]));
  build(b, values).forEach((output, i) => {
    b.output(`y${i}`, output);
  });
  return b.graph();
}

/** x [T,K] @ W with a scale for each row and each column, both ways. */
function product(rows: number, inner: number, columns: number): Graph {
  const random = new Random(3);
  const levels = (count: number) => Int8Array.from({ length: count }, () => random.below(255) - 127);
  const scales = (count: number) => Float32Array.from({ length: count }, () => 0.001 * (1 + random.below(9)));
  const [q, qT] = [levels(inner * columns), levels(inner * columns)];
  const [s, sT] = [scales(columns), scales(inner)];
  const b = new Builder();
  const x = b.input('x', 'float32', [rows, inner]);
  const weight = {
    q: b.constant('q', 'int8', [inner, columns], () => q),
    scale: b.constant('s', 'float32', [columns], () => s),
  };
  const back = {
    q: b.constant('qT', 'int8', [columns, inner], () => qT),
    scale: b.constant('sT', 'float32', [inner], () => sT),
  };
  const y = b.int8MatMul(x, weight, null);
  b.output('y', y);
  b.output('back', b.int8MatMul(y, back, null));
  return b.graph();
}

function someRows(rows: number, width: number): Tensor {
  const random = new Random(4);
  // rows of very different sizes: one scale for all of them would lose the small ones
  const data = Array.from(
    { length: rows * width },
    (_, i) => random.normal() * 10 ** ((Math.floor(i / width) % 5) - 2),
  );
  return float32([rows, width], data);
}

describe.skipIf(!openvinoFolder)('OpenVINO', () => {
  const settings = { threads: 2, openvino: { folder, precision: 'f32' as const } };

  it.each(cases)('%s agrees with the reference', async (_, opCase) => {
    const graph = graphOf(opCase);
    const reference = await openReference(graph).run(opCase.inputs);
    const session = await openOnnx(graph, settings);
    const results = await session.run(opCase.inputs);
    await session.close();
    for (const name of graph.outputs.keys())
      expectClose(results[name], reference[name], Math.max(1e-4, opCase.tolerance ?? 0));
  });

  it('computes in bfloat16 where the processor has instructions for it, unless told', () => {
    expect(openvinoPrecision({ folder })).toBe(/avx512_bf16|amx_bf16/.test(processor) ? 'bf16' : 'f32');
    expect(openvinoPrecision({ folder, precision: 'f32' })).toBe('f32');
  });

  // kernels without VNNI add pairs of products in 16 bits, which weights of 127 levels overflow: training takes 63 there
  it.skipIf(!vnni)('an int8 product has a scale for each row and each column', async () => {
    const graph = product(10, 64, 48);
    const x = someRows(10, 64);
    const reference = await openReference(graph).run({ x });
    const session = await openOnnx(graph, settings);
    const results = await session.run({ x });
    await session.close();
    for (const name of ['y', 'back']) {
      for (let row = 0; row < 10; row++) {
        const width = reference[name].shape[1] as number;
        const part = ({ [name]: { data } }: Record<string, Tensor>) =>
          Array.from((data as Float32Array).subarray(row * width, (row + 1) * width));
        const [ours, theirs] = [part(results), part(reference)];
        const size = Math.max(...theirs.map(Math.abs));
        ours.forEach((value, i) => {
          expect(Math.abs(value - theirs[i])).toBeLessThan(0.03 * size);
        });
      }
    }
  });

  it('gives the same bits each time, in the session and in another', async () => {
    const graph = product(64, 256, 512);
    const x = someRows(64, 256);
    const bits: string[] = [];
    for (let opened = 0; opened < 2; opened++) {
      const session = await openOnnx(graph, { threads: 2, openvino: { folder } });
      for (let i = 0; i < 3; i++)
        bits.push(Buffer.from(floats((await session.run({ x })).back).slice().buffer).toString('hex'));
      await session.close();
    }
    expect(new Set(bits).size).toBe(1);
  });

  it('runs side by side', async () => {
    const graph = product(8, 64, 48);
    const session = await openOnnx(graph, { ...settings, lanes: 2 });
    const x = someRows(8, 64);
    const all = await Promise.all(Array.from({ length: 4 }, () => session.run({ x })));
    for (const { y } of all) expect(floats(y)).toEqual(floats(all[0].y));
    await session.close();
  });

  it('writes a profile', async () => {
    const prefix = join(mkdtempSync(join(tmpdir(), 'cupel-openvino-')), 'profile');
    const session = await openOnnx(product(8, 64, 48), { ...settings, profile: prefix });
    await session.run({ x: someRows(8, 64) });
    await session.close();
    const events = JSON.parse(readFileSync(`${prefix}.json`, 'utf8')) as { dur: number; args: { op_name: string } }[];
    expect(events.some(({ dur, args }) => dur > 0 && args.op_name.startsWith('FullyConnected'))).toBe(true);
    rmSync(join(prefix, '..'), { recursive: true });
  });

  it('tells its version, and says where it is not', () => {
    expect(openvinoVersion({ folder })).toMatch(/^\d{4}\.\d+\.\d+$/);
    expect(() => openvinoVersion({ folder: tmpdir() })).toThrow('there is no OpenVINO here');
  });

  it('says what OpenVINO says of a model it refuses', () => {
    const file = join(mkdtempSync(join(tmpdir(), 'cupel-openvino-')), 'model.onnx');
    writeFileSync(file, 'no model');
    expect(() => openOpenvino(file, product(2, 8, 8), { folder, threads: 1, lanes: 1 })).toThrow(/^OpenVINO: .+/);
    rmSync(join(file, '..'), { recursive: true });
  });
});
