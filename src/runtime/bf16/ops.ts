// How each op is put on a tape; what is not here cannot be computed by these kernels.

import { axisOf } from '../../graph/dims.ts';
import type { Node, Value } from '../../graph/node.ts';
import type { OpName } from '../../graph/op.ts';
import { bytesOf, sizeOf } from '../../graph/tensor.ts';
import { attention, attentionGradient } from './attention.ts';
import type { Step } from './fuse.ts';
import { crossEntropy, crossEntropyGradient, linearCrossEntropy, linearCrossEntropyGradient } from './loss.ts';
import { type Lower, type Lowering, rowsEach } from './lowering.ts';
import { added, matmul } from './product.ts';
import type { TapeOp } from './tape.ts';
import { expanded, permuted, placeOf, sliced, type View } from './view.ts';

/** In the order of the enums in native/map.c. */
const MAPS = [
  ...(['add', 'sub', 'mul', 'div', 'scale', 'offset', 'abs', 'exp', 'tanh', 'sigmoid'] as const),
  ...(['silu', 'siluGradient', 'geluTanh', 'geluTanhGradient'] as const),
] as const;
const ANY = ['equal', 'lessOrEqual', 'and', 'or', 'not', 'where', 'cast', 'iota', 'add', 'sub', 'mul'] as const;
const REDUCTIONS = ['reduceSum', 'reduceMean', 'reduceMax'] as const;

type MapName = (typeof MAPS)[number];
type LogicName = 'equal' | 'lessOrEqual' | 'and' | 'or' | 'not' | 'where';

/** Entry by entry, with broadcasting; sums become part of what computes one of their sides, where it can. */
function map(op: MapName): Lower<MapName> {
  return (l, { inputs, outputs: [y], attributes }) => {
    const shape = l.sizes(y.shape);
    if (y.dtype !== 'float32') return whole(l, op as 'add', inputs, y);
    if (op === 'add' && added(l, inputs, y, shape)) return;
    const [a, b] = inputs.map((input) => expanded(l.view(input), shape));
    l.map(MAPS.indexOf(op), l.result(y), a, b ?? a, 'by' in attributes ? attributes.by : 0);
  };
}

/** Whole numbers and truth values. */
function whole(l: Lowering, op: (typeof ANY)[number], inputs: readonly Value[], y: Value): void {
  const shape = l.sizes(y.shape);
  const views = inputs.map((input) => expanded(l.view(input), shape));
  l.any(ANY.indexOf(op), l.result(y), views[0], views[1], views[2]);
}

function logic(op: LogicName): Lower<LogicName> {
  return (l, { inputs, outputs: [y] }) => whole(l, op, inputs, y);
}

function reduction(op: (typeof REDUCTIONS)[number]): Lower<typeof op> {
  return (l, { inputs: [x], outputs: [y], attributes }) => {
    const view = l.view(x);
    const axes = attributes.axes.map((axis) => axisOf(axis, view.shape.length)).sort((a, b) => a - b);
    const other = view.shape.map((_, axis) => axis).filter((axis) => !axes.includes(axis));
    // axes in a row are summed where they lie, others are brought to the end
    const inRow = axes.every((axis, i) => i === 0 || axis === axes[i - 1] + 1);
    const from = l.dense(inRow ? view : permuted(view, [...other, ...axes]));
    const n = sizeOf(axes.map((axis) => view.shape[axis]));
    const inner = inRow ? sizeOf(view.shape.slice(axes.at(-1)! + 1)) : 1;
    const outer = sizeOf(from.shape) / (n * inner);
    const each = inner === 1 ? rowsEach(n) : 64;
    const cuts = inner === 1 ? 1 : Math.ceil(inner / each);
    const items = inner === 1 ? Math.ceil(outer / each) : outer * cuts;
    l.add('reduce', items, {
      2: REDUCTIONS.indexOf(op),
      3: placeOf(l.result(y)),
      5: placeOf(from),
      7: outer,
      8: n,
      9: inner,
      10: each,
      11: cuts,
    });
  };
}

/** The sum of the rows of a matrix. */
function reduceRows(l: Lowering, x: View, out: View): void {
  const [rows, width] = x.shape;
  const fields = { 2: REDUCTIONS.indexOf('reduceSum'), 3: placeOf(out), 5: placeOf(x), 7: 1, 8: rows, 9: width };
  l.add('reduce', Math.ceil(width / 64), { ...fields, 10: 64, 11: Math.ceil(width / 64) });
}

/** The gradient of a norm's x. */
function normGradient(l: Lowering, inputs: readonly Value[], dx: Value): TapeOp {
  const [x, weight, inverse, dy] = inputs.map((input) => l.dense(l.view(input)));
  const width = weight.shape[0];
  const rows = sizeOf(x.shape) / width;
  const out = l.result(dx);
  const [a, b, c, d] = [x, weight, inverse, dy].map(placeOf);
  const fields = { 3: placeOf(out), 5: a, 7: b, 9: c, 11: d, 13: rows, 14: width };
  const op = l.tiles.blocks('rmsNormGradient', rows, fields);
  l.tiles.makes(out, op, width, {
    forms: 20,
    result: { place: 3, kept: 32 },
    narrow: 36,
  });
  return op;
}

/** Binds another look at the same memory, or moves it where there is none. */
function reshape(l: Lowering, x: Value, y: Value): void {
  l.bind(y, l.reshaped(l.view(x), l.sizes(y.shape)));
}

function join(l: Lowering, inputs: readonly Value[], y: Value, axis: number): void {
  const to = inputs.some((input) => l.isPart(input, y)) ? l.view(y) : l.result(y);
  let start = 0;
  for (const input of inputs) {
    const from = l.view(input);
    if (!l.isPart(input, y)) l.copy(from, sliced(to, axis, start, from.shape[axis]));
    start += from.shape[axis];
  }
}

/** Adds updates to the rows of what is there. */
function scatter(l: Lowering, out: View, updates: Value, rows: Value): void {
  const [from, index] = [updates, rows].map((value) => l.dense(l.view(value)));
  l.add('scatterAdd', Math.ceil(out.shape[1] / 64), {
    3: placeOf(out),
    5: placeOf(from),
    7: placeOf(index),
    9: sizeOf(index.shape),
    10: out.shape[1],
    11: 64,
    12: out.shape[0],
  });
}

type Table = { readonly [K in Step['op']]?: Lower<K> };

export const LOWERED: Table = {
  ...(Object.fromEntries(MAPS.map((op) => [op, map(op)])) as Pick<Table, MapName>),
  ...(Object.fromEntries(REDUCTIONS.map((op) => [op, reduction(op)])) as unknown as Pick<
    Table,
    (typeof REDUCTIONS)[number]
  >),
  equal: logic('equal'),
  lessOrEqual: logic('lessOrEqual'),
  and: logic('and'),
  or: logic('or'),
  not: logic('not'),
  where: logic('where'),
  cast: (l, { inputs: [x], outputs: [y] }) => (x.dtype === y.dtype ? l.bind(y, l.view(x)) : whole(l, 'cast', [x], y)),
  iota: (l, { outputs: [y] }) => {
    const out = l.result(y);
    l.any(ANY.indexOf('iota'), out, out);
  },
  reshape: (l, { inputs: [x], outputs: [y] }) => reshape(l, x, y),
  reshapeLike: (l, { inputs: [x], outputs: [y] }) => reshape(l, x, y),
  transpose: (l, { inputs: [x], outputs: [y], attributes: { order } }) =>
    l.bind(
      y,
      permuted(
        l.view(x),
        order.map((axis) => axisOf(axis, order.length)),
      ),
    ),
  concat: (l, { inputs, outputs: [y], attributes: { axis } }) => join(l, inputs, y, axisOf(axis, y.shape.length)),
  split: (l, { inputs: [x], outputs, attributes: { axis, sizes } }) => {
    let start = 0;
    outputs.forEach((output, i) => {
      l.bind(output, sliced(l.view(x), axisOf(axis, x.shape.length), start, sizes[i]));
      start += sizes[i];
    });
  },
  slice: (l, { inputs: [x], outputs: [y], attributes: { axis, start, size } }) =>
    l.bind(y, sliced(l.view(x), axisOf(axis, x.shape.length), start, size)),
  pad: (l, { inputs: [x], outputs: [y], attributes: { axis, before } }) => {
    const out = l.result(y);
    const from = l.view(x);
    l.fill(out);
    const at = axisOf(axis, x.shape.length);
    l.copy(from, sliced(out, at, before, from.shape[at]));
  },
  expandLike: (l, { inputs: [x], outputs: [y] }) => l.bind(y, expanded(l.view(x), l.sizes(y.shape))),
  zerosLike: (l, { outputs: [y] }) => l.fill(l.result(y)),
  after: (l, { inputs: [x], outputs: [y] }) => l.bind(y, l.view(x)),
  matmul,
  attention,
  attentionGradient,
  rmsNorm: (l, { inputs, outputs, attributes: { epsilon } }) => {
    const [x, weight] = inputs.map((input) => l.dense(l.view(input)));
    const [y, inverse] = outputs.map((output) => l.result(output));
    const width = weight.shape[0];
    const rows = sizeOf(x.shape) / width;
    const [out, other, from, by] = [y, inverse, x, weight].map(placeOf);
    const fields = { 3: out, 5: other, 7: from, 9: by, 11: epsilon, 12: rows, 13: width };
    l.tiles.makes(y, l.tiles.blocks('rmsNorm', rows, fields), width, {
      forms: 16,
      result: { place: 3, kept: 28 },
      narrow: 29,
    });
  },
  rmsNormGradient: (l, { inputs, outputs: [dx] }) => {
    normGradient(l, inputs, dx);
  },
  normGradients: (l, { inputs, outputs: [dx, dWeight] }) => {
    const op = normGradient(l, inputs, dx);
    // a sum for each of its items is left to be added up
    const sums = l.fresh('float32', [op.items, inputs[1].shape[0] as number]);
    op.fields = { ...op.fields, 33: true, 34: placeOf(sums) };
    reduceRows(l, sums, l.result(dWeight));
  },
  gated: (l, { inputs, outputs: [y], attributes: { activation } }) => {
    const half = l.halve(inputs);
    const [gate, up] = inputs.map((input) => l.dense(l.view(input)));
    const out = l.result(y);
    const width = out.shape.at(-1)!;
    const rows = sizeOf(out.shape) / width;
    const places = { 3: placeOf(out), 5: placeOf(gate), 7: placeOf(up) };
    const fields = { ...places, 9: MAPS.indexOf(activation), 10: rows, 11: width, 25: half };
    l.tiles.makes(out, l.tiles.blocks('gated', rows, fields), width, {
      forms: 12,
      result: { place: 3, kept: 24 },
      narrow: 26,
    });
  },
  gatedGradient: (l, { inputs, outputs, attributes: { activation } }) => {
    const [half, halfSlope] = [l.halve(inputs.slice(0, 2)), l.halve(inputs.slice(2))];
    const [gate, up, dy] = inputs.map((input) => l.dense(l.view(input)));
    const [dGate, dUp] = outputs.map((output) => l.result(output));
    const width = gate.shape.at(-1)!;
    const rows = sizeOf(gate.shape) / width;
    const places = { 3: placeOf(dGate), 5: placeOf(dUp), 7: placeOf(gate), 9: placeOf(up), 11: placeOf(dy) };
    const fields = { ...places, 13: MAPS.indexOf(activation), 14: rows, 15: width, 42: half, 43: halfSlope };
    const op = l.tiles.blocks('gatedGradient', rows, fields);
    l.tiles.makes(dGate, op, width, { forms: 16, result: { place: 3, kept: 40 }, narrow: 44 });
    l.tiles.makes(dUp, op, width, { forms: 28, result: { place: 5, kept: 41 }, narrow: 50 });
  },
  softmax: (l, { inputs: [x], outputs: [y] }) => {
    const from = l.dense(l.view(x));
    const width = from.shape.at(-1)!;
    const rows = sizeOf(from.shape) / width;
    const each = rowsEach(width);
    l.add('softmax', Math.ceil(rows / each), { 3: placeOf(l.result(y)), 5: placeOf(from), 7: rows, 8: width, 9: each });
  },
  softmaxGradient: (l, { inputs, outputs: [y] }) => {
    const [p, dp] = inputs.map((input) => l.dense(l.view(input)));
    const width = p.shape.at(-1)!;
    const rows = sizeOf(p.shape) / width;
    const each = rowsEach(width);
    const out = placeOf(l.result(y));
    l.add('softmaxGradient', Math.ceil(rows / each), {
      3: out,
      5: placeOf(p),
      7: placeOf(dp),
      9: rows,
      10: width,
      11: each,
    });
  },
  rope: (l, { inputs, outputs: [y], attributes: { interleaved, inverse } }) => {
    const x = l.inLines(l.view(inputs[0]));
    const [positions, cos, sin] = inputs.slice(1).map((input) => l.dense(l.view(input)));
    const out = l.heads(y);
    const [batches, heads, rows, width] = x.shape;
    const each = Math.max(1, Math.floor(4096 / (heads * width)));
    l.add('rope', batches * Math.ceil(rows / each), {
      3: placeOf(out),
      5: placeOf(x),
      7: placeOf(positions),
      9: placeOf(cos),
      11: placeOf(sin),
      13: batches,
      14: heads,
      15: rows,
      16: width,
      17: x.strides[0],
      18: x.strides[1],
      19: x.strides[2],
      20: out.strides[0],
      21: out.strides[1],
      22: out.strides[2],
      23: interleaved,
      24: inverse,
      25: cos.shape[0],
      26: each,
    });
  },
  gather: (l, { inputs, outputs: [y] }) => {
    const [table, rows] = inputs.map((input) => l.dense(l.view(input)));
    const count = sizeOf(rows.shape);
    const each = rowsEach(table.shape[1]);
    const out = placeOf(l.result(y));
    l.add('gather', Math.ceil(count / each), {
      3: out,
      5: placeOf(table),
      7: placeOf(rows),
      9: count,
      10: table.shape[1] * bytesOf(table.dtype),
      11: each,
      12: table.shape[0],
    });
  },
  scatterAdd: (l, { inputs: [updates, rows], outputs: [y] }) => {
    const out = l.result(y);
    l.fill(out);
    scatter(l, out, updates, rows);
  },
  sumOfSquares: (l, { inputs, outputs: [y] }) =>
    l.sumOfSquares(
      l.result(y),
      inputs.map((input) => l.view(input)),
    ),
  scatterInto: (l, { inputs: [x, updates, rows], outputs: [y] }) => {
    const from = l.view(x);
    if (l.maker(from, 'product')) l.bind(y, from);
    else l.copy(from, l.result(y));
    scatter(l, l.view(y), updates, rows);
  },
  crossEntropy,
  crossEntropyGradient,
  linearCrossEntropy,
  linearCrossEntropyGradient,
};

/** Ops of a graph that these kernels do not compute. */
export function unknownOps(nodes: readonly Node[]): ReadonlySet<OpName> {
  return new Set(nodes.map(({ op }) => op).filter((op) => !(op in LOWERED)));
}
