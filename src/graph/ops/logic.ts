// Comparisons, logic, choice and conversion; only `where` and a cast to float32 carry gradients.
import { broadcastShapes, require } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import { mapBroadcast, sumTo } from './broadcast.ts';

type Comparison = 'equal' | 'lessOrEqual';
type Connective = 'and' | 'or';

function comparison<K extends Comparison>(op: K, type: string, f: (a: number, b: number) => boolean): OpRecord<K> {
  return {
    shape: (inputs) => {
      const [a, b] = inputs;
      require(inputs.length === 2 && a.dtype === b.dtype, op, inputs, 'two of one type');
      return [{ dtype: 'bool', shape: broadcastShapes(a.shape, b.shape) }];
    },
    gradient: null,
    onnx: ({ inputs, outputs }, w) => w.node(type, [inputs[0].name, inputs[1].name], [outputs[0].name]),
    reference: (inputs) => [mapBroadcast(inputs, (a, b) => Number(f(a, b)))],
  };
}

function connective<K extends Connective>(op: K, type: string, f: (a: number, b: number) => number): OpRecord<K> {
  return {
    shape: (inputs) => {
      const [a, b] = inputs;
      require(inputs.length === 2 && a.dtype === 'bool' && b.dtype === 'bool', op, inputs, 'two bool');
      return [{ dtype: 'bool', shape: broadcastShapes(a.shape, b.shape) }];
    },
    gradient: null,
    onnx: ({ inputs, outputs }, w) => w.node(type, [inputs[0].name, inputs[1].name], [outputs[0].name]),
    reference: (inputs) => [mapBroadcast(inputs, f)],
  };
}

export const equal = comparison('equal', 'Equal', (a, b) => a === b);
export const lessOrEqual = comparison('lessOrEqual', 'LessOrEqual', (a, b) => a <= b);
export const and = connective('and', 'And', (a, b) => a & b);
export const or = connective('or', 'Or', (a, b) => a | b);

export const not: OpRecord<'not'> = {
  shape: (inputs) => {
    require(inputs.length === 1 && inputs[0].dtype === 'bool', 'not', inputs, 'one bool');
    return [{ dtype: 'bool', shape: inputs[0].shape }];
  },
  gradient: null,
  onnx: ({ inputs, outputs }, w) => w.node('Not', [inputs[0].name], [outputs[0].name]),
  reference: ([x]) => [{ shape: x.shape, data: x.data.map((value) => 1 - value) }],
};

export const where: OpRecord<'where'> = {
  shape: (inputs) => {
    const [condition, a, b] = inputs;
    const fit = inputs.length === 3 && condition.dtype === 'bool' && a.dtype === b.dtype;
    require(fit, 'where', inputs, 'bool and two of one type');
    return [{ dtype: a.dtype, shape: broadcastShapes(condition.shape, broadcastShapes(a.shape, b.shape)) }];
  },
  gradient: (g, { inputs: [condition, a, b] }, [dy], needs) => {
    const zero = g.zerosLike(dy!);
    return [
      null,
      needs[1] ? sumTo(g, g.where(condition, dy!, zero), a) : null,
      needs[2] ? sumTo(g, g.where(condition, zero, dy!), b) : null,
    ];
  },
  onnx: ({ inputs, outputs }, w) =>
    w.node(
      'Where',
      inputs.map((input) => input.name),
      [outputs[0].name],
    ),
  reference: (inputs) => [mapBroadcast(inputs, (condition, a, b) => (condition ? a : b))],
};

const ONNX_TYPES = { float32: 1, int64: 7 };

export const cast: OpRecord<'cast'> = {
  shape: ([x], { to }) => [{ dtype: to, shape: x.shape }],
  gradient: (_g, { inputs: [x] }, [dy]) => [x.dtype === 'float32' ? dy : null],
  onnx: ({ inputs, outputs, attributes }, w) =>
    w.node('Cast', [inputs[0].name], [outputs[0].name], { to: { int: ONNX_TYPES[attributes.to] } }),
  reference: ([x], { to }) => [{ shape: x.shape, data: to === 'int64' ? x.data.map(Math.trunc) : x.data }],
};
