// Reading rows of a table and adding to them.
import { require, sameShape } from '../dims.ts';
import type { OpRecord } from '../op.ts';
import { sizeOf } from '../tensor.ts';
import { tailEnd } from './tail.ts';

export const gather: OpRecord<'gather'> = {
  shape: (inputs) => {
    const [table, rows] = inputs;
    const fit = inputs.length === 2 && table.shape.length === 2 && rows.dtype === 'int64';
    require(fit, 'gather', inputs, 'a table [R,D] and int64 rows');
    return [{ dtype: table.dtype, shape: [...rows.shape, table.shape[1]] }];
  },
  gradient: (g, { inputs: [table, rows] }, [dy]) => [g.scatterAdd(dy!, rows, table), null],
  onnx: ({ inputs, outputs }, w) =>
    w.node('Gather', [inputs[0].name, inputs[1].name], [outputs[0].name], { axis: { int: 0 } }),
  reference: ([table, rows]) => {
    const width = table.shape[1];
    const data = new Float64Array(rows.data.length * width);
    rows.data.forEach((row, i) => {
      data.set(table.data.subarray(row * width, (row + 1) * width), i * width);
    });
    return [{ shape: [...rows.shape, width], data }];
  },
};

/** (updates [...,D], rows [...], like [R,D]): zeros of the shape of `like` plus each update at its row. */
export const scatterAdd: OpRecord<'scatterAdd'> = {
  shape: (inputs) => {
    const [updates, rows, like] = inputs;
    const fit = inputs.length === 3 && rows.dtype === 'int64' && sameShape(updates.shape.slice(0, -1), rows.shape);
    require(fit &&
      like.shape[1] === updates.shape.at(-1), 'scatterAdd', inputs, 'updates [...,D], rows [...], like [R,D]');
    return [{ dtype: 'float32', shape: like.shape }];
  },
  gradient: (g, { inputs: [, rows] }, [dy]) => [g.gather(dy!, rows), null, null],
  onnx: ({ inputs: [updates, rows, like], outputs: [y] }, w) => {
    const [shape, zeros, index] = Array.from({ length: 3 }, () => w.temporary());
    w.node('Shape', [like.name], [shape]);
    w.node('ConstantOfShape', [shape], [zeros]);
    w.node('Unsqueeze', [rows.name, w.int64([-1])], [index]);
    w.node('ScatterND', [zeros, index, tailEnd(w, updates.name, like.shape[1])], [y.name], {
      reduction: { string: 'add' },
    });
  },
  reference: ([updates, rows, like]) => {
    const width = like.shape[1];
    const data = new Float64Array(sizeOf(like.shape));
    updates.data.forEach((value, i) => {
      data[rows.data[Math.floor(i / width)] * width + (i % width)] += value;
    });
    return [{ shape: like.shape, data }];
  },
};
