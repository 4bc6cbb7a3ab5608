// A case of an op as a graph, for tests of everything that computes graphs.
import { Random } from '../src/base/random.ts';
import { Builder } from '../src/graph/builder.ts';
import { gradients } from '../src/graph/gradient.ts';
import type { Graph, Value } from '../src/graph/node.ts';
import type { OpCase } from '../src/graph/ops/cases.ts';

/** The case as a graph with its outputs; with `wrt`, also a scalar that weighs them all and its gradients. */
export function caseGraph({ inputs, build }: OpCase, wrt: readonly string[]): Graph {
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
export function differentiable(opCase: OpCase): string[] {
  return Object.keys(opCase.inputs).filter((name) => {
    if (opCase.inputs[name].dtype !== 'float32') return false;
    try {
      caseGraph(opCase, [name]);
      return true;
    } catch (error) {
      if ((error as Error).message.includes('depend')) return false;
      throw error;
    }
  });
}
