// Arithmetic element by element.
import { broadcastShapes, require } from '../dims.ts';
import type { Value, ValueType } from '../node.ts';
import type { GradientRule, OpName, OpRecord } from '../op.ts';
import { mapBroadcast, sumTo } from './broadcast.ts';

type Binary = 'add' | 'sub' | 'mul' | 'div';
type Unary = 'abs' | 'exp' | 'tanh' | 'sigmoid';

function binary<K extends Binary>(
  op: K,
  type: string,
  f: (a: number, b: number) => number,
  gradient: GradientRule<K>,
): OpRecord<K> {
  return {
    shape: (inputs) => [binaryType(op, inputs)],
    gradient,
    onnx: (node, w) => w.node(type, [node.inputs[0].name, node.inputs[1].name], [node.outputs[0].name]),
    reference: (inputs) => [mapBroadcast(inputs, f)],
  };
}

function binaryType(op: OpName, inputs: readonly Value[]): ValueType {
  const [a, b] = inputs;
  require(inputs.length === 2 && a.dtype === b.dtype && a.dtype !== 'bool', op, inputs, 'two of one number type');
  return { dtype: a.dtype, shape: broadcastShapes(a.shape, b.shape) };
}

/** The type rule of ops that keep shape and dtype of their only float32 input. */
export function sameFloat(op: OpName): (inputs: readonly Value[]) => readonly ValueType[] {
  return (inputs) => {
    require(inputs.length === 1 && inputs[0].dtype === 'float32', op, inputs, 'one float32');
    return [{ dtype: 'float32', shape: inputs[0].shape }];
  };
}

function unary<K extends Unary>(op: K, type: string, f: (x: number) => number, gradient: GradientRule<K>): OpRecord<K> {
  return {
    shape: sameFloat(op),
    gradient,
    onnx: (node, w) => w.node(type, [node.inputs[0].name], [node.outputs[0].name]),
    reference: ([x]) => [{ shape: x.shape, data: x.data.map((value) => f(value)) }],
  };
}

export const add = binary(
  'add',
  'Add',
  (a, b) => a + b,
  (g, { inputs: [a, b] }, [dy], needs) => [needs[0] ? sumTo(g, dy!, a) : null, needs[1] ? sumTo(g, dy!, b) : null],
);

export const sub = binary(
  'sub',
  'Sub',
  (a, b) => a - b,
  (g, { inputs: [a, b] }, [dy], needs) => [
    needs[0] ? sumTo(g, dy!, a) : null,
    needs[1] ? g.scale(sumTo(g, dy!, b), -1) : null,
  ],
);

export const mul = binary(
  'mul',
  'Mul',
  (a, b) => a * b,
  (g, { inputs: [a, b] }, [dy], needs) => [
    needs[0] ? sumTo(g, g.mul(dy!, b), a) : null,
    needs[1] ? sumTo(g, g.mul(dy!, a), b) : null,
  ],
);

export const div = binary(
  'div',
  'Div',
  (a, b) => a / b,
  (g, { inputs: [a, b], outputs: [y] }, [dy], needs) => {
    const da = g.div(dy!, b);
    return [needs[0] ? sumTo(g, da, a) : null, needs[1] ? g.scale(sumTo(g, g.mul(da, y), b), -1) : null];
  },
);

export const scale: OpRecord<'scale'> = {
  shape: sameFloat('scale'),
  gradient: (g, { attributes: { by } }, [dy]) => [g.scale(dy!, by)],
  onnx: ({ inputs, outputs, attributes }, w) =>
    w.node('Mul', [inputs[0].name, w.float32([attributes.by], [])], [outputs[0].name]),
  reference: ([x], { by }) => [{ shape: x.shape, data: x.data.map((value) => value * by) }],
};

export const offset: OpRecord<'offset'> = {
  shape: sameFloat('offset'),
  gradient: (_g, _node, [dy]) => [dy],
  onnx: ({ inputs, outputs, attributes }, w) =>
    w.node('Add', [inputs[0].name, w.float32([attributes.by], [])], [outputs[0].name]),
  reference: ([x], { by }) => [{ shape: x.shape, data: x.data.map((value) => value + by) }],
};

/** Has no gradient because it serves scales of quantisation, which are treated as constants. */
export const abs: OpRecord<'abs'> = { ...unary('abs', 'Abs', Math.abs, () => [null]), gradient: null };

export const exp = unary('exp', 'Exp', Math.exp, (g, { outputs: [y] }, [dy]) => [g.mul(dy!, y)]);

export const tanh = unary('tanh', 'Tanh', Math.tanh, (g, { outputs: [y] }, [dy]) => [
  g.sub(dy!, g.mul(dy!, g.mul(y, y))),
]);

export const sigmoid = unary(
  'sigmoid',
  'Sigmoid',
  (x) => 1 / (1 + Math.exp(-x)),
  (g, { outputs: [y] }, [dy]) => [g.mul(dy!, g.sub(y, g.mul(y, y)))],
);
