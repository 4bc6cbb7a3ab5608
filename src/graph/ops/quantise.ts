// Numbers that move in int8: quantised while the graph runs, with a scale for each row or each column.
import { require } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import { roundEven, TINY } from './int8.ts';

/** Steps, not smooth: products with the result say themselves what their gradient is (`int8Linear`). */
export const quantise: OpRecord<'quantise'> = {
  shape: (inputs, { per, levels }) => {
    const [x] = inputs;
    const fits = inputs.length === 1 && x.dtype === 'float32' && x.shape.length === 2 && levels <= 127;
    require(fits, 'quantise', inputs, 'one float32 matrix, and at most 127 levels');
    return [
      { dtype: 'int8', shape: x.shape },
      { dtype: 'float32', shape: [x.shape[per === 'row' ? 0 : 1]] },
    ];
  },
  gradient: null,
  onnx: ({ inputs: [x], outputs: [q, scale], attributes: { per, levels } }, w) => {
    const [high, low, minus, largest, some, divisor, ratio] = Array.from({ length: 7 }, () => w.temporary());
    const axes = w.int64([per === 'row' ? 1 : 0]);
    const keep = { keepdims: { int: 1 } };
    // two passes that only read, rather than one over a copy without signs
    w.node('ReduceMax', [x.name, axes], [high], keep);
    w.node('ReduceMin', [x.name, axes], [low], keep);
    w.node('Neg', [low], [minus]);
    w.node('Max', [high, minus], [largest]);
    w.node('Add', [largest, w.float32([TINY], [])], [some]);
    w.node('Mul', [some, w.float32([1 / levels], [])], [divisor]);
    if (w.reader === 'openvino') {
      // levels of a constant step, as they are read again; see int8.ts
      w.node('Div', [x.name, some], [ratio]);
      w.node('QuantizeLinear', [ratio, w.float32([1 / levels], []), w.int8(0)], [q.name]);
    } else {
      w.node('Div', [x.name, divisor], [ratio]);
      w.node('QuantizeLinear', [ratio, w.float32([1], [])], [q.name], { output_dtype: { int: 3 } });
    }
    w.node('Reshape', [divisor, w.int64([-1])], [scale.name]);
  },
  reference: ([x], { per, levels }) => {
    const [rows, columns] = x.shape;
    const at = (i: number) => (per === 'row' ? Math.floor(i / columns) : i % columns);
    const largest = new Float64Array(per === 'row' ? rows : columns);
    x.data.forEach((value, i) => {
      largest[at(i)] = Math.max(largest[at(i)], Math.abs(value));
    });
    const scale = largest.map((value) => (value + TINY) / levels);
    return [
      { shape: x.shape, data: x.data.map((value, i) => roundEven(value / scale[at(i)])) },
      { shape: [scale.length], data: scale },
    ];
  },
};
