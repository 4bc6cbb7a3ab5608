// Every op: its gradient against finite differences, its ONNX form against the reference implementation.
import { describe, expect, it } from 'vitest';
import { caseGraph, differentiable } from '../../test/case-graph.ts';
import { expectClose } from '../../test/expect-close.ts';
import type { Graph } from '../graph/node.ts';
import type { OpName } from '../graph/op.ts';
import { CASES, type OpCase } from '../graph/ops/cases.ts';
import { OPS } from '../graph/ops/table.ts';
import { float32, floats } from '../graph/tensor.ts';
import { openOnnx } from './onnx.ts';
import { interpret, openReference } from './reference.ts';

const STEP = 1e-4;

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
      const graph = caseGraph(opCase, differentiable(opCase));
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
      const graph = caseGraph(opCase, names);
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
  const graph = caseGraph(opCase, ['x']);
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
