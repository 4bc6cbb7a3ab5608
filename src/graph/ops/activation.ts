// Activation functions of feed-forward layers and their derivatives.
import { require, sameShape } from '../dims.ts';
import type { Value, ValueType } from '../node.ts';
import type { OpName, OpRecord } from '../op.ts';
import { mapBroadcast } from './broadcast.ts';
import { sameFloat } from './elementwise.ts';

const sigmoid = (x: number) => 1 / (1 + Math.exp(-x));
const GELU_SCALE = Math.sqrt(2 / Math.PI);
const GELU_CUBIC = 0.044715;

/** Two float32 tensors of one shape give one more. */
export function twoAlike(op: OpName): (inputs: readonly Value[]) => readonly ValueType[] {
  return (inputs) => {
    const [a, b] = inputs;
    const fit = inputs.length === 2 && a.dtype === 'float32' && b.dtype === 'float32' && sameShape(a.shape, b.shape);
    require(fit, op, inputs, 'two float32 of one shape');
    return [{ dtype: 'float32', shape: a.shape }];
  };
}

/** x * sigmoid(x). */
export const silu: OpRecord<'silu'> = {
  shape: sameFloat('silu'),
  gradient: (g, { inputs: [x] }, [dy]) => g.emit('siluGradient', [x, dy!], {}),
  onnx: ({ inputs, outputs }, w) =>
    w.node('QuickGelu', [inputs[0].name], [outputs[0].name], { alpha: { float: 1 } }, 'com.microsoft'),
  reference: ([x]) => [{ shape: x.shape, data: x.data.map((value) => value * sigmoid(value)) }],
};

/** (x, dy): dy * s * (1 + x - x * s) with s = sigmoid(x). */
export const siluGradient: OpRecord<'siluGradient'> = {
  shape: twoAlike('siluGradient'),
  gradient: null,
  onnx: ({ inputs: [x, dy], outputs: [dx] }, w) => {
    const [s, y, t, u, v] = Array.from({ length: 5 }, () => w.temporary());
    w.node('Sigmoid', [x.name], [s]);
    w.node('Mul', [x.name, s], [y]);
    w.node('Sub', [x.name, y], [t]);
    w.node('Add', [t, w.float32([1], [])], [u]);
    w.node('Mul', [u, s], [v]);
    w.node('Mul', [v, dy.name], [dx.name]);
  },
  reference: (inputs) => [mapBroadcast(inputs, (x, dy) => dy * sigmoid(x) * (1 + x - x * sigmoid(x)))],
};

/** Gaussian error linear unit in the tanh approximation (Hendrycks and Gimpel, 2016). */
export const geluTanh: OpRecord<'geluTanh'> = {
  shape: sameFloat('geluTanh'),
  gradient: (g, { inputs: [x] }, [dy]) => g.emit('geluTanhGradient', [x, dy!], {}),
  onnx: ({ inputs, outputs }, w) =>
    w.node('Gelu', [inputs[0].name], [outputs[0].name], { approximate: { string: 'tanh' } }),
  reference: ([x]) => [{ shape: x.shape, data: x.data.map((v) => 0.5 * v * (1 + Math.tanh(inner(v)))) }],
};

function inner(x: number): number {
  return GELU_SCALE * (x + GELU_CUBIC * x ** 3);
}

/** (x, dy): with t = tanh(inner(x)), dy * 0.5 * ((1 + t) + x * (1 - t^2) * inner'(x)). */
export const geluTanhGradient: OpRecord<'geluTanhGradient'> = {
  shape: twoAlike('geluTanhGradient'),
  gradient: null,
  onnx: ({ inputs: [x, dy], outputs: [dx] }, w) => {
    const mul = (a: string, b: string) => binary('Mul', a, b);
    const binary = (type: string, a: string, b: string) => {
      const out = w.temporary();
      w.node(type, [a, b], [out]);
      return out;
    };
    const number = (value: number) => w.float32([value], []);
    const square = mul(x.name, x.name);
    const cubic = binary('Add', mul(square, number(GELU_SCALE * GELU_CUBIC)), number(GELU_SCALE));
    const t = w.temporary();
    w.node('Tanh', [mul(cubic, x.name)], [t]);
    const slope = binary('Add', mul(square, number(1.5 * GELU_SCALE * GELU_CUBIC)), number(0.5 * GELU_SCALE));
    const right = mul(mul(x.name, slope), binary('Sub', number(1), mul(t, t)));
    const left = binary('Add', mul(t, number(0.5)), number(0.5));
    w.node('Mul', [binary('Add', left, right), dy.name], [dx.name]);
  },
  reference: (inputs) => [
    mapBroadcast(inputs, (x, dy) => {
      const t = Math.tanh(inner(x));
      return dy * 0.5 * (1 + t + x * (1 - t * t) * GELU_SCALE * (1 + 3 * GELU_CUBIC * x * x));
    }),
  ],
};
