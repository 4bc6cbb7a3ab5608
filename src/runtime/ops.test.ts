// Every op: its gradient against finite differences, its ONNX form against the reference implementation.
import { describe, expect, it } from 'vitest';
import { expectClose } from '../../test/expect-close.ts';
import { Random } from '../base/random.ts';
import { Builder } from '../graph/builder.ts';
import { gradients } from '../graph/gradient.ts';
import type { Graph, Value } from '../graph/node.ts';
import type { OpName } from '../graph/op.ts';
import { CASES, type OpCase } from '../graph/ops/cases.ts';
import { OPS } from '../graph/ops/table.ts';
import { float32, floats } from '../graph/tensor.ts';
import { openOnnx } from './onnx.ts';
import { interpret, openReference } from './reference.ts';

const STEP = 1e-4;

/** The case as a graph with its outputs; with `wrt`, also a scalar that weighs them all and its gradients. */
function graphOf({ inputs, build }: OpCase, wrt: readonly string[]): Graph {
  const b = new Builder();
  const values = Object.fromEntries(Object.entries(inputs).map(([name, x]) => [name, b.input(name, x.dtype, x.shape)]));
  const outputs = build(b, values);
  outputs.forEach((output, i) => {
    b.output(`y${i}`, output);
  });
  if (wrt.length === 0) return b.graph();
  if (!outputs.some((output) => output.dtype === 'float32')) throw new Error('nothing to depend on');
  const loss = outputs
    .filter((output) => output.dtype === 'float32')
    .map((output, i) => weigh(b, output, i))
    .reduce((x, y) => b.add(x, y));
  b.output('loss', loss);
  const derived = gradients(
    b,
    loss,
    wrt.map((name) => values[name]),
  );
  wrt.forEach((name, i) => {
    b.output(`d${name}`, derived[i]);
  });
  return b.graph();
}

function weigh(b: Builder, output: Value, i: number): Value {
  const random = new Random(i);
  const shape = output.shape as number[];
  const data = Float32Array.from({ length: shape.reduce((x, y) => x * y, 1) }, () => random.normal());
  const weights = b.constant(`weights${i}`, 'float32', shape, () => data);
  return b.reduceSum(
    b.mul(output, weights),
    shape.map((_, axis) => axis),
  );
}

/** The inputs an op is differentiable in: the gradient graph can be built for them. */
function differentiable(opCase: OpCase): string[] {
  return Object.keys(opCase.inputs).filter((name) => {
    if (opCase.inputs[name].dtype !== 'float32') return false;
    try {
      graphOf(opCase, [name]);
      return true;
    } catch (error) {
      if ((error as Error).message.includes('depend')) return false;
      throw error;
    }
  });
}

/** Every float32 input but those that the case says have none. */
function promised({ inputs, constant = [] }: OpCase): string[] {
  return Object.keys(inputs).filter((name) => inputs[name].dtype === 'float32' && !constant.includes(name));
}

function lossAt(graph: Graph, inputs: OpCase['inputs'], name: string, at: number, by: number): number {
  const moved = new Float64Array(floats(inputs[name]));
  moved[at] += by;
  const tensor = { ...inputs[name], data: moved as unknown as Float32Array };
  return interpret(graph, { ...inputs, [name]: tensor }).get(graph.outputs.get('loss')!.name)!.data[0];
}

/** Ops without a gradient, by decision: choices, comparisons, and gradients themselves. */
const WITHOUT_GRADIENT = [
  ...[
    'abs',
    'and',
    'crossEntropyGradient',
    'dispatch',
    'equal',
    'geluTanhGradient',
    'int8Outer',
    'iota',
    'lessOrEqual',
    'linearCrossEntropyGradient',
    'not',
    'or',
  ],
  ...['quantise', 'reduceMax', 'rmsNormGradient', 'siluGradient', 'softmaxGradient', 'topMask', 'zerosLike'],
];

it('has a case for every op of the table, and none has lost its gradient', () => {
  expect(Object.keys(CASES).sort()).toEqual(Object.keys(OPS).sort());
  for (const cases of Object.values(CASES)) expect(cases).not.toHaveLength(0);
  const without = Object.entries(OPS).flatMap(([op, { gradient }]) => (gradient ? [] : [op]));
  expect(without.sort()).toEqual([...WITHOUT_GRADIENT].sort());
});

/** int8 products are steps, not smooth: their gradient is a product with the transpose, checked in tests of their own. */
const STEPPED: ReadonlySet<OpName> = new Set(['int8MatMul', 'int8Linear']);

describe.each(Object.entries(CASES) as [OpName, readonly OpCase[]][])('%s', (op, cases) => {
  it.each(cases.map((opCase, i) => [i, opCase] as const))(
    'case %i: ONNX Runtime agrees with the reference',
    async (_, opCase) => {
      const graph = graphOf(opCase, differentiable(opCase));
      const reference = await openReference(graph).run(opCase.inputs);
      const session = await openOnnx(graph, { threads: 1 });
      const results = await session.run(opCase.inputs);
      await session.close();
      for (const name of graph.outputs.keys()) expectClose(results[name], reference[name], opCase.tolerance ?? 1e-5);
    },
  );

  if (WITHOUT_GRADIENT.includes(op) || STEPPED.has(op)) return;
  it.each(cases.map((opCase, i) => [i, opCase] as const))(
    'case %i: the gradient agrees with finite differences',
    (i, opCase) => {
      const names = differentiable(opCase);
      expect(names).toEqual(promised(opCase));
      if (op === 'cast' && i === 0) return;
      expect(names).not.toHaveLength(0);
      const graph = graphOf(opCase, names);
      const derived = interpret(graph, opCase.inputs);
      for (const name of names) {
        const gradient = derived.get(graph.outputs.get(`d${name}`)!.name)!;
        expect(gradient.shape).toEqual(opCase.inputs[name].shape);
        gradient.data.forEach((slope, at) => {
          const rise = lossAt(graph, opCase.inputs, name, at, STEP) - lossAt(graph, opCase.inputs, name, at, -STEP);
          expect(Math.abs(slope - rise / (2 * STEP))).toBeLessThan(1e-5 * (1 + Math.abs(slope)));
        });
      }
    },
  );
});

it('the gradient of an int8 product is the int8 product with the transposed weight', async () => {
  const [opCase] = CASES.int8MatMul;
  const graph = graphOf(opCase, ['x']);
  const { dx } = await openReference(graph).run(opCase.inputs);
  const weights = graph.constants[0].read() as Float32Array;
  const { qT, sT } = opCase.inputs;
  const exact = float32(
    dx.shape,
    floats(dx).map((_, i) => {
      const [row, column] = [Math.floor(i / 8), i % 8];
      let sum = 0;
      for (let n = 0; n < 6; n++) sum += weights[row * 6 + n] * Number(qT.data[n * 8 + column]) * floats(sT)[column];
      return sum;
    }),
  );
  expect(cosine(floats(dx), floats(exact))).toBeGreaterThan(0.9999);
});

function cosine(a: Float32Array, b: Float32Array): number {
  const dot = (x: Float32Array, y: Float32Array) => x.reduce((sum, v, i) => sum + v * y[i], 0);
  return dot(a, b) / Math.sqrt(dot(a, a) * dot(b, b));
}
