// Matrix products over the last two axes, with optional transposition and a factor.

import type { Builder } from '../builder.ts';
import { broadcastShapes, require, timesDims } from '../dims.ts';
import type { Dim, Shape, Value } from '../node.ts';
import type { Narrow, OpAttributes, OpRecord } from '../op.ts';
import { type Doubles, sizeOf } from '../tensor.ts';
import { broadcastSizes, sumTo } from './broadcast.ts';

type Attributes = OpAttributes['matmul'];

function lastTwo<D extends Dim>(shape: readonly D[], transposed: boolean): readonly [D, D] {
  const [rows, columns] = shape.slice(-2);
  return transposed ? [columns, rows] : [rows, columns];
}

function inferShape(inputs: readonly Value[], { transA, transB }: Attributes): Shape {
  const [a, b] = inputs;
  const ranks = inputs.length === 2 && a.shape.length >= 2 && b.shape.length >= 2;
  require(ranks && a.dtype === 'float32' && b.dtype === 'float32', 'matmul', inputs, 'two float32 matrices');
  const [m, k] = lastTwo(a.shape, transA);
  const [k2, n] = lastTwo(b.shape, transB);
  require(k === k2, 'matmul', inputs, `inner sizes that agree (transA ${transA}, transB ${transB})`);
  return [...broadcastShapes(a.shape.slice(0, -2), b.shape.slice(0, -2)), m, n];
}

/** [..., K] as [rows, K]. */
export function flatten(g: Builder, x: Value): Value {
  return x.shape.length === 2 ? x : g.reshape(x, [timesDims(...x.shape.slice(0, -1)), x.shape.at(-1)!]);
}

function gradients(g: Builder, a: Value, b: Value, dy: Value, t: Attributes, needs: readonly boolean[]) {
  const { transA, transB, alpha } = t;
  const product = (x: Value, tx: boolean, y: Value, ty: boolean, narrow?: Narrow) =>
    g.matmul(x, y, { transA: tx, transB: ty, alpha, narrow });
  const narrow = t.narrow === 'product' ? undefined : t.narrow;
  const da = () => (transA ? product(b, transB, dy, true) : product(dy, false, b, !transB, narrow));
  // a weight shared by all leading axes: one wide product instead of a batch of them that is summed
  const shared = b.shape.length === 2 && a.shape.length > 2 && !transA;
  const [x, d] = shared && needs[1] ? [flatten(g, a), flatten(g, dy)] : [a, dy];
  const db = () => {
    const all = narrow === 'all' ? narrow : undefined;
    return transB ? product(d, true, x, transA, all) : product(x, !transA, d, false, all);
  };
  return [needs[0] ? sumTo(g, da(), a) : null, needs[1] ? sumTo(g, db(), b) : null];
}

export const matmul: OpRecord<'matmul'> = {
  shape: (inputs, attributes) => [{ dtype: 'float32', shape: inferShape(inputs, attributes) }],
  gradient: (g, { inputs: [a, b], attributes }, [dy], needs) => gradients(g, a, b, dy!, attributes, needs),
  onnx: ({ inputs: [a, b], outputs: [y], attributes: { transA, transB, alpha } }, w) => {
    if (!transA && !transB && alpha === 1) return w.node('MatMul', [a.name, b.name], [y.name]);
    w.node(
      'FusedMatMul',
      [a.name, b.name],
      [y.name],
      { transA: { int: Number(transA) }, transB: { int: Number(transB) }, alpha: { float: alpha } },
      'com.microsoft',
    );
  },
  reference: ([a, b], attributes) => [multiply(a, b, attributes)],
};

/** The batched product, one leading index at a time. */
export function multiply(a: Doubles, b: Doubles, { transA, transB, alpha }: Attributes): Doubles {
  const [m, k] = lastTwo(a.shape, transA);
  const [, n] = lastTwo(b.shape, transB);
  const lead = broadcastSizes([a.shape.slice(0, -2), b.shape.slice(0, -2), []]);
  const data = new Float64Array(sizeOf(lead) * m * n);
  for (let batch = 0; batch < sizeOf(lead); batch++) {
    const atA = offsetOf(batch, lead, a.shape.slice(0, -2)) * m * k;
    const atB = offsetOf(batch, lead, b.shape.slice(0, -2)) * k * n;
    for (let i = 0; i < m; i++)
      for (let j = 0; j < n; j++) {
        let sum = 0;
        for (let x = 0; x < k; x++)
          sum += a.data[atA + (transA ? x * m + i : i * k + x)] * b.data[atB + (transB ? j * k + x : x * n + j)];
        data[(batch * m + i) * n + j] = alpha * sum;
      }
  }
  return { shape: [...lead, m, n], data };
}

/** Which of its own leading blocks a tensor contributes to block `batch` of the broadcast result. */
function offsetOf(batch: number, lead: readonly number[], own: readonly number[]): number {
  let rest = batch;
  let offset = 0;
  let stride = 1;
  for (let axis = lead.length - 1; axis >= 0; axis--) {
    const index = rest % lead[axis];
    rest = Math.floor(rest / lead[axis]);
    const size = own[axis - lead.length + own.length] ?? 1;
    if (size !== 1) offset += index * stride;
    stride *= size;
  }
  return offset;
}
