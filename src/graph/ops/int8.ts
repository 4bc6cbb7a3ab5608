// Products with int8 weights: rows of x are scaled by their largest entry, then x is quantised to 8 bits on the fly.
import { require, sameShape } from '../dims.ts';
import type { Value } from '../node.ts';
import type { OnnxWriter, OpRecord } from '../op.ts';
import type { Doubles } from '../tensor.ts';
import { fixedProduct } from './fixed-levels.ts';
import { multiply } from './matmul.ts';

/** Keeps a row of zeros from dividing by zero. */
export const TINY = 1e-12;

/**
 * One scale per token matters: with one per tensor the outlier tokens crush the others (gradient cosine 0.64 instead of 0.94 on
 * SmolLM2). The gradient of x is the same op with the transposed weight, also in int8, or a product with a float32 weight [N,K] (where
 * gradients are as peaked as those of logits); the weight has none. A fourth input is what
 * x is a rotation of: the gradient is its own, and need not be turned back.
 */
export const int8MatMul: OpRecord<'int8MatMul'> = {
  shape: (inputs) => {
    const [x, q, scale, of] = inputs;
    const types =
      (inputs.length === 3 || sameShape(x.shape, of.shape)) &&
      x.dtype === 'float32' &&
      q.dtype === 'int8' &&
      scale.dtype === 'float32';
    const sizes = types && q.shape.length === 2 && x.shape.at(-1) === q.shape[0] && scale.shape[0] === q.shape[1];
    require(sizes, 'int8MatMul', inputs, 'x [...,K], q [K,N] int8, scale [N]');
    return [{ dtype: 'float32', shape: [...x.shape.slice(0, -1), q.shape[1]] }];
  },
  gradient: (g, { inputs: [, q, scale, of], attributes: { transposed } }, [dy]) => {
    const turned = of ? null : { q, scale };
    const dx = transposed && ('q' in transposed ? g.int8MatMul(dy!, transposed, turned) : g.matmul(dy!, transposed));
    return of ? [null, null, null, dx] : [dx, null, null];
  },
  onnx: ({ inputs: [x, q, scale], outputs: [y] }, w) =>
    scaledByRow(w, x, y, (scaled, product) => {
      if (w.reader === 'openvino') fixedProduct(w, scaled, { q, scale }, product);
      else w.node('DynamicQuantizeMatMul', [scaled, q.name, scale.name], [product], {}, 'com.microsoft');
    }),
  reference: ([x, q, scale]) => {
    const { rows, scales } = scaleRows(x);
    const weight = { shape: q.shape, data: q.data.map((value, i) => value * scale.data[i % scale.data.length]) };
    const y = multiply(quantize(rows), weight, { transA: false, transB: false, alpha: 1 });
    const width = y.shape.at(-1)!;
    return [{ shape: y.shape, data: y.data.map((value, i) => value * scales[Math.floor(i / width)]) }];
  },
};

/** The largest size along an axis, which stays: from both ends, as a tensor of sizes would have to be written and read once more. */
export function largestSizes(w: OnnxWriter, x: string, axis: number): string {
  const [least, most, negative, largest] = Array.from({ length: 4 }, () => w.temporary());
  w.node('ReduceMax', [x, w.int64([axis])], [most], { keepdims: { int: 1 } });
  w.node('ReduceMin', [x, w.int64([axis])], [least], { keepdims: { int: 1 } });
  w.node('Neg', [least], [negative]);
  w.node('Max', [most, negative, w.float32([TINY], [])], [largest]);
  return largest;
}

/** y of x whose rows `multiply` gets divided by their largest entry, and whose product is multiplied by it again. */
export function scaledByRow(
  w: OnnxWriter,
  x: Value,
  y: Value,
  multiply: (scaled: string, product: string) => void,
): void {
  // ONNX Runtime's kernel fails on no rows at all, which an expert may get: one row of zeros goes along
  const mayBeEmpty = x.shape.length === 2 && typeof x.shape[0] === 'string';
  const [inverse, scaled, product, padded, all] = Array.from({ length: 5 }, () => w.temporary());
  const from = mayBeEmpty ? padded : x.name;
  if (mayBeEmpty) w.node('Pad', [x.name, w.int64([0, 1]), '', w.int64([0])], [padded]);
  const rowScale = largestSizes(w, from, -1);
  w.node('Reciprocal', [rowScale], [inverse]);
  w.node('Mul', [from, inverse], [scaled]);
  multiply(scaled, product);
  w.node('Mul', [product, rowScale], [mayBeEmpty ? all : y.name]);
  if (mayBeEmpty) w.node('Slice', [all, w.int64([0]), w.int64([-1]), w.int64([0])], [y.name]);
}

/** Divides each row by its largest absolute entry. */
function scaleRows(x: Doubles): { rows: Doubles; scales: number[] } {
  const width = x.shape.at(-1)!;
  const scales = Array.from({ length: x.data.length / width }, (_, row) =>
    x.data.subarray(row * width, (row + 1) * width).reduce((largest, v) => Math.max(largest, Math.abs(v)), TINY),
  );
  return { rows: { shape: x.shape, data: x.data.map((v, i) => v / scales[Math.floor(i / width)]) }, scales };
}

/** Rounds to 256 levels between the least and the largest entry, as ONNX's DynamicQuantizeLinear does. */
function quantize(x: Doubles): Doubles {
  const low = x.data.reduce((a, b) => Math.min(a, b), 0);
  const high = x.data.reduce((a, b) => Math.max(a, b), 0);
  const step = (high - low) / 255 || 1;
  const zero = Math.round(-low / step);
  return { shape: x.shape, data: x.data.map((v) => (clamp(roundEven(v / step) + zero) - zero) * step) };
}

function clamp(level: number): number {
  return Math.min(255, Math.max(0, level));
}

/** To the nearest integer, halves to the even one, as ONNX rounds. */
export function roundEven(x: number): number {
  const rounded = Math.round(x);
  return Math.abs(x % 1) === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}
