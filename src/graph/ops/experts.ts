// Sending rows to the experts that a router chose for them, and putting the results together again.
import { fixed, require, timesDims } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import { type Doubles, sizeOf } from '../tensor.ts';
import { mapRows } from './softmax.ts';

/** Chooses, and choices have no slope: weights that should learn are taken from x at the chosen places. */
export const topMask: OpRecord<'topMask'> = {
  shape: (inputs, { count }) => {
    const fit = inputs.length === 1 && inputs[0].dtype === 'float32' && fixed(inputs[0], -1) >= count && count > 0;
    require(fit, 'topMask', inputs, `one float32 with at least ${count} entries in a row`);
    return [{ dtype: 'bool', shape: inputs[0].shape }];
  },
  gradient: null,
  onnx: ({ inputs: [x], outputs: [mask], attributes }, w) => {
    const [values, indices, shape, zeros, none, all] = Array.from({ length: 6 }, () => w.temporary());
    w.node('TopK', [x.name, w.int64([attributes.count])], [values, indices], { axis: { int: -1 } });
    w.node('Shape', [x.name], [shape]);
    w.node('ConstantOfShape', [shape], [zeros]);
    w.node('Cast', [zeros], [none], { to: { int: 9 } });
    w.node('Equal', [indices, indices], [all]);
    w.node('ScatterElements', [none, indices, all], [mask.name], { axis: { int: -1 } });
  },
  reference: ([x], { count }) => [mapRows(x, (row) => largest(row, count))],
};

/** 1 at the `count` largest entries, of equal ones at the first. */
function largest(row: Float64Array, count: number): Float64Array {
  const order = [...row.keys()].sort((a, b) => row[b] - row[a] || a - b);
  const mask = new Float64Array(row.length);
  for (const at of order.slice(0, count)) mask[at] = 1;
  return mask;
}

export const dispatch: OpRecord<'dispatch'> = {
  shape: (inputs, { perRow }) => {
    const [mask] = inputs;
    require(inputs.length === 1 && mask.dtype === 'bool' && mask.shape.length === 2, 'dispatch', inputs, 'bool [N,E]');
    const all = timesDims(perRow, mask.shape[0]);
    return [
      { dtype: 'int64', shape: [all] },
      { dtype: 'int64', shape: [all] },
      { dtype: 'int64', shape: [fixed(mask, 1)] },
    ];
  },
  gradient: null,
  onnx: ({ inputs: [mask], outputs: [rows, slots, counts] }, w) => {
    const [byExpert, places, experts, starts, numbers] = Array.from({ length: 5 }, () => w.temporary());
    w.node('Transpose', [mask.name], [byExpert], { perm: { ints: [1, 0] } });
    // in row-major order: all rows of the first expert, then those of the second
    w.node('NonZero', [byExpert], [places]);
    w.node('Gather', [places, w.int64([0], [])], [experts], { axis: { int: 0 } });
    w.node('Gather', [places, w.int64([1], [])], [rows.name], { axis: { int: 0 } });
    w.node('Mul', [rows.name, w.int64([fixed(mask, 1)], [])], [starts]);
    w.node('Add', [starts, experts], [slots.name]);
    w.node('Cast', [mask.name], [numbers], { to: { int: 7 } });
    w.node('ReduceSum', [numbers, w.int64([0])], [counts.name], { keepdims: { int: 0 } });
  },
  reference: ([mask]) => {
    const [rows, experts] = mask.shape;
    const chosen = Array.from({ length: experts }, (_, expert) =>
      Array.from({ length: rows }, (_row, row) => row).filter((row) => mask.data[row * experts + expert] !== 0),
    );
    const vector = (data: readonly number[]) => ({ shape: [data.length], data: Float64Array.from(data) });
    return [
      vector(chosen.flat()),
      vector(chosen.flatMap((some, expert) => some.map((row) => row * experts + expert))),
      vector(chosen.map((some) => some.length)),
    ];
  },
};

export const partition: OpRecord<'partition'> = {
  shape: (inputs, { sizes }) => {
    const [x, counts] = inputs;
    const fit = inputs.length === 2 && counts.dtype === 'int64' && counts.shape[0] === sizes.length;
    require(fit && x.shape.length > 1, 'partition', inputs, `rows [M,...] and int64 counts [${sizes.length}]`);
    return sizes.map((size) => ({ dtype: x.dtype, shape: [size, ...x.shape.slice(1)] }));
  },
  gradient: (g, { inputs: [x, counts], outputs }, dys) => [
    g.unite(
      counts,
      outputs.map((output, i) => dys[i] ?? g.zerosLike(output)),
      x.shape[0],
    ),
    null,
  ],
  onnx: ({ inputs: [x, counts], outputs }, w) =>
    w.node(
      'Split',
      [x.name, counts.name],
      outputs.map((part) => part.name),
      { axis: { int: 0 } },
    ),
  reference: ([x, counts]) => {
    const width = sizeOf(x.shape.slice(1));
    let start = 0;
    return [...counts.data].map((count): Doubles => {
      const data = x.data.slice(start * width, (start + count) * width);
      start += count;
      return { shape: [count, ...x.shape.slice(1)], data };
    });
  },
};

export const unite: OpRecord<'unite'> = {
  shape: (inputs, { total }) => {
    const [counts, first, ...rest] = inputs;
    const alike = rest.every(
      (x) => x.dtype === first.dtype && String(x.shape.slice(1)) === String(first.shape.slice(1)),
    );
    const fit = counts.dtype === 'int64' && counts.shape[0] === inputs.length - 1 && alike;
    require(fit, 'unite', inputs, 'int64 counts [E] and E parts alike but for their rows');
    return [{ dtype: first.dtype, shape: [total, ...first.shape.slice(1)] }];
  },
  gradient: (g, { inputs: [counts, ...parts] }, [dy]) => [
    null,
    ...g.partition(
      dy!,
      counts,
      parts.map((part) => part.shape[0]),
    ),
  ],
  onnx: ({ inputs: [, ...parts], outputs: [y] }, w) =>
    w.node(
      'Concat',
      parts.map((part) => part.name),
      [y.name],
      { axis: { int: 0 } },
    ),
  reference: ([, ...parts]) => {
    const rows = parts.reduce((sum, part) => sum + part.shape[0], 0);
    return [
      { shape: [rows, ...parts[0].shape.slice(1)], data: Float64Array.from(parts.flatMap((part) => [...part.data])) },
    ];
  },
};
