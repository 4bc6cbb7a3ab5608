// The gradient of a weight in int8: a sum over tokens, so that each column of both sides has a scale of its own.
import { require } from '../dims.ts';
import type { Node, Value } from '../node.ts';
import type { OnnxWriter, OpRecord } from '../op.ts';
import { fixedLevels } from './fixed-levels.ts';
import { int8MatMul, largestSizes } from './int8.ts';
import { quantise } from './quantise.ts';
import { tailEnd } from './tail.ts';

export const int8Outer: OpRecord<'int8Outer'> = {
  shape: (inputs, { levels }) => {
    const [x, dy] = inputs;
    const fits =
      inputs.length === 2 &&
      x.dtype === 'float32' &&
      dy.dtype === 'float32' &&
      x.shape.length === 2 &&
      dy.shape.length === 2 &&
      x.shape[0] === dy.shape[0] &&
      levels <= 127;
    require(fits, 'int8Outer', inputs, 'x [T,K], dy [T,N], and at most 127 levels');
    return [{ dtype: 'float32', shape: [dy.shape[1], x.shape[1]] }];
  },
  gradient: null,
  onnx: ({ inputs: [x, dy], outputs: [y], attributes: { levels } }, w) => {
    if (w.reader === 'openvino') return columnProduct(w, { x, dy, levels }, y);
    // ONNX Runtime's product scales the rows of its left side itself
    const upright: Value = { ...dy, name: w.temporary(), shape: dy.shape.toReversed() };
    const q: Value = { name: w.temporary(), dtype: 'int8', shape: x.shape };
    const scale: Value = { name: w.temporary(), dtype: 'float32', shape: [x.shape[1]] };
    w.node('Transpose', [dy.name], [upright.name], { perm: { ints: [1, 0] } });
    quantise.onnx({ op: 'quantise', inputs: [x], attributes: { per: 'column', levels }, outputs: [q, scale] }, w);
    const attributes = { transposed: null };
    const product: Node<'int8MatMul'> = { op: 'int8MatMul', inputs: [upright, q, scale], attributes, outputs: [y] };
    int8MatMul.onnx(product, w);
  },
  reference: ([x, dy], { levels }, sizes) => {
    const [q, scale] = quantise.reference([x], { per: 'column', levels }, sizes);
    const [tokens, outputs] = dy.shape;
    const data = dy.data.map((_value, i) => dy.data[(i % tokens) * outputs + Math.floor(i / tokens)]);
    return int8MatMul.reference([{ shape: [outputs, tokens], data }, q, scale], { transposed: null }, sizes);
  },
};

/** Both sides rounded to fixed levels as they lie; only what is in int8 is transposed. */
function columnProduct(w: OnnxWriter, { x, dy, levels }: { x: Value; dy: Value; levels: number }, y: Value): void {
  const [right, rightScale] = columns(w, x, levels);
  const [left, leftScale] = columns(w, dy);
  const [upright, bare, part, rows] = Array.from({ length: 4 }, () => w.temporary());
  w.node('Transpose', [left], [upright], { perm: { ints: [1, 0] } });
  w.node('MatMul', [upright, right], [bare]);
  w.node('Reshape', [leftScale, w.int64([-1, 1])], [rows]);
  w.node('Mul', [bare, rightScale], [part]);
  w.node('Mul', [part, rows], [y.name]);
}

/** [T,C] in levels of its columns' largest sizes, and those sizes [1,C]. */
function columns(w: OnnxWriter, x: Value, count?: number): [levels: string, sizes: string] {
  const sizes = largestSizes(w, x.name, 0);
  const scaled = w.temporary();
  w.node('Div', [x.name, sizes], [scaled]);
  return [fixedLevels(w, scaled, count), tailEnd(w, sizes, x.shape[1])];
}
