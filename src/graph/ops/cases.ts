// At least one case for every op, for the tests that hold gradients and ONNX forms to the reference implementations.
import { Random } from '../../base/random.ts';
import type { Builder } from '../builder.ts';
import type { Value } from '../node.ts';
import type { OpName } from '../op.ts';
import { bool, float32, int8, int64, sizeOf, type Tensor } from '../tensor.ts';

export interface OpCase {
  readonly inputs: Readonly<Record<string, Tensor>>;
  readonly build: (b: Builder, inputs: Readonly<Record<string, Value>>) => readonly Value[];
  /** The float32 inputs that by decision have no gradient; default none. */
  readonly constant?: readonly string[];
  /** Largest difference allowed between ONNX Runtime and the reference; default 1e-5. */
  readonly tolerance?: number;
}

const random = new Random(7);
const normal = (...shape: number[]) =>
  float32(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.normal()),
  );
const positive = (...shape: number[]) =>
  float32(
    shape,
    Array.from({ length: sizeOf(shape) }, () => 0.5 + random.next()),
  );
const below = (bound: number, ...shape: number[]) =>
  int64(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.below(bound)),
  );
const coins = (...shape: number[]) =>
  bool(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.next() < 0.5),
  );
/** Multiples of 1/127 up to 1: what quantisation leaves as it is. */
const levels = (...shape: number[]) => {
  const data = Float32Array.from({ length: sizeOf(shape) }, () => (random.below(255) - 127) / 127);
  for (let row = 0; row < data.length; row += shape.at(-1)!) [data[row], data[row + 1]] = [1, -1];
  return float32(shape, data);
};
const bytes = (...shape: number[]) =>
  int8(
    shape,
    Array.from({ length: sizeOf(shape) }, () => random.below(127) - 63),
  );

const pair = { a: normal(2, 3, 4), b: normal(3, 1) };
const flags = { a: coins(2, 3), b: coins(3) };
const counts = { a: below(3, 2, 3), b: below(3, 3) };
const matrix = { x: normal(3, 4) };
const cube = { x: normal(2, 3, 4) };
const turns = { x: normal(2, 3, 4, 6), positions: below(8, 2, 4), cos: normal(8, 3), sin: normal(8, 3) };
const heads = { q: normal(2, 4, 3, 5), k: normal(2, 2, 6, 5), v: normal(2, 2, 6, 3), mask: normal(2, 1, 3, 6) };
const even = { q: normal(2, 3, 4, 5), k: normal(2, 3, 4, 5), v: normal(2, 3, 4, 5), mask: normal(2, 1, 4, 4) };
/** Two experts of four for each of three rows; nobody chose the third. */
const chosen = bool([3, 4], [true, false, false, true, true, true, false, false, false, true, false, true]);
const one = (x: Value) => [x];

export const CASES: { readonly [K in OpName]: readonly OpCase[] } = {
  add: [{ inputs: pair, build: (g, { a, b }) => one(g.add(a, b)) }],
  sub: [{ inputs: pair, build: (g, { a, b }) => one(g.sub(a, b)) }],
  mul: [{ inputs: pair, build: (g, { a, b }) => one(g.mul(a, b)) }],
  div: [{ inputs: { a: normal(2, 3), b: positive(3) }, build: (g, { a, b }) => one(g.div(a, b)) }],
  scale: [{ inputs: matrix, build: (g, { x }) => one(g.scale(x, -2.5)) }],
  offset: [{ inputs: matrix, build: (g, { x }) => one(g.offset(x, 1.5)) }],
  abs: [{ inputs: matrix, build: (g, { x }) => one(g.abs(x)) }],
  exp: [{ inputs: matrix, build: (g, { x }) => one(g.exp(x)) }],
  tanh: [{ inputs: matrix, build: (g, { x }) => one(g.tanh(x)) }],
  sigmoid: [{ inputs: matrix, build: (g, { x }) => one(g.sigmoid(x)) }],
  silu: [{ inputs: matrix, build: (g, { x }) => one(g.silu(x)) }],
  siluGradient: [
    { inputs: { x: normal(3, 4), dy: normal(3, 4) }, build: (g, { x, dy }) => g.emit('siluGradient', [x, dy], {}) },
  ],
  geluTanh: [{ inputs: matrix, build: (g, { x }) => one(g.geluTanh(x)) }],
  geluTanhGradient: [
    { inputs: { x: normal(3, 4), dy: normal(3, 4) }, build: (g, { x, dy }) => g.emit('geluTanhGradient', [x, dy], {}) },
  ],
  equal: [{ inputs: counts, build: (g, { a, b }) => one(g.equal(a, b)) }],
  lessOrEqual: [{ inputs: counts, build: (g, { a, b }) => one(g.lessOrEqual(a, b)) }],
  and: [{ inputs: flags, build: (g, { a, b }) => one(g.and(a, b)) }],
  or: [{ inputs: flags, build: (g, { a, b }) => one(g.or(a, b)) }],
  not: [{ inputs: flags, build: (g, { a }) => one(g.not(a)) }],
  where: [
    {
      inputs: { c: coins(2, 3), a: normal(3), b: normal(2, 1) },
      build: (g, { c, a, b }) => one(g.where(c, a, b)),
    },
  ],
  cast: [
    { inputs: { x: below(9, 2, 3) }, build: (g, { x }) => one(g.cast(x, 'float32')) },
    { inputs: matrix, build: (g, { x }) => one(g.mul(x, g.cast(x, 'float32'))) },
  ],
  reduceSum: [
    { inputs: cube, build: (g, { x }) => one(g.reduceSum(x, [0, -1])) },
    { inputs: cube, build: (g, { x }) => one(g.reduceSum(x, [1], true)) },
  ],
  reduceMean: [
    { inputs: cube, build: (g, { x }) => one(g.reduceMean(x, [0, 2])) },
    { inputs: cube, build: (g, { x }) => one(g.reduceMean(x, [-1], true)) },
  ],
  reduceMax: [{ inputs: cube, build: (g, { x }) => one(g.reduceMax(x, [1])) }],
  reshape: [{ inputs: cube, build: (g, { x }) => one(g.reshape(x, [6, 2, 2])) }],
  reshapeLike: [
    {
      inputs: { x: normal(2, 3, 4), like: normal(6, 4) },
      build: (g, { x, like }) => g.emit('reshapeLike', [x, like], {}),
      constant: ['like'],
    },
  ],
  transpose: [{ inputs: cube, build: (g, { x }) => one(g.transpose(x, [2, 0, 1])) }],
  concat: [{ inputs: { a: normal(2, 3), b: normal(2, 1) }, build: (g, { a, b }) => one(g.concat([a, b, a], 1)) }],
  split: [
    { inputs: matrix, build: (g, { x }) => g.split(x, 1, [1, 3]) },
    { inputs: matrix, build: (g, { x }) => one(g.split(x, 0, [1, 1, 1])[1]) },
  ],
  slice: [{ inputs: cube, build: (g, { x }) => one(g.slice(x, 1, 1, 2)) }],
  pad: [{ inputs: cube, build: (g, { x }) => one(g.pad(x, 1, 2, 1)) }],
  expandLike: [
    {
      inputs: { x: normal(3, 1), like: normal(2, 3, 4) },
      build: (g, { x, like }) => one(g.expandLike(x, like)),
      constant: ['like'],
    },
  ],
  zerosLike: [{ inputs: matrix, build: (g, { x }) => one(g.zerosLike(x)) }],
  iota: [{ inputs: matrix, build: (g, { x }) => one(g.iota(x, 1)) }],
  matmul: [
    { inputs: { a: normal(2, 3, 4), b: normal(4, 5) }, build: (g, { a, b }) => one(g.matmul(a, b)) },
    {
      inputs: { a: normal(2, 3, 4), b: normal(5, 4) },
      build: (g, { a, b }) => one(g.matmul(a, b, { transB: true, alpha: 0.5 })),
    },
    {
      inputs: { a: normal(2, 2, 4, 3), b: normal(2, 2, 4, 5) },
      build: (g, { a, b }) => one(g.matmul(a, b, { transA: true })),
    },
    {
      inputs: { a: normal(4, 3), b: normal(5, 4) },
      build: (g, { a, b }) => one(g.matmul(a, b, { transA: true, transB: true, alpha: 2 })),
    },
    { inputs: { a: normal(2, 1, 3, 4), b: normal(3, 4, 2) }, build: (g, { a, b }) => one(g.matmul(a, b)) },
  ],
  int8MatMul: [
    {
      inputs: { x: levels(2, 3, 8), q: bytes(8, 6), s: positive(6), qT: bytes(6, 8), sT: positive(8) },
      build: (g, { x, q, s, qT, sT }) => one(g.int8MatMul(x, { q, scale: s }, { q: qT, scale: sT })),
      // a value between two levels may round the other way
      tolerance: 5e-3,
    },
    {
      // the first and the last part have no rows
      inputs: {
        ...{ x: levels(4, 8), counts: int64([4], [0, 3, 1, 0]) },
        ...{ q: bytes(8, 6), s: positive(6), qT: bytes(6, 8), sT: positive(8) },
      },
      build: (g, { x, counts, q, s, qT, sT }) => {
        const product = (part: Value) => g.int8MatMul(part, { q, scale: s }, { q: qT, scale: sT });
        return [g.unite(counts, g.partition(x, counts, ['a', 'b', 'c', 'd']).map(product), 4)];
      },
      // one value that lies between two levels of 127 may round the other way
      tolerance: 3e-2,
    },
  ],
  rmsNorm: [{ inputs: { x: normal(2, 3, 4), w: normal(4) }, build: (g, { x, w }) => one(g.rmsNorm(x, w, 1e-5)) }],
  rmsNormGradient: [
    {
      inputs: { x: normal(2, 4), w: normal(4), inv: positive(2, 1), dy: normal(2, 4) },
      build: (g, { x, w, inv, dy }) => g.emit('rmsNormGradient', [x, w, inv, dy], { epsilon: 1e-5 }),
    },
  ],
  softmax: [{ inputs: cube, build: (g, { x }) => one(g.softmax(x)) }],
  softmaxGradient: [
    {
      inputs: { p: positive(2, 3), dp: normal(2, 3) },
      build: (g, { p, dp }) => g.emit('softmaxGradient', [p, dp], {}),
    },
  ],
  attention: [
    { inputs: heads, build: (g, { q, k, v, mask }) => one(g.attention(q, k, v, mask, 0.7)), constant: ['mask'] },
    { inputs: even, build: (g, { q, k, v, mask }) => one(g.attention(q, k, v, mask, 0.4)), constant: ['mask'] },
  ],
  rope: [
    {
      inputs: turns,
      build: (g, { x, positions, cos, sin }) => one(g.rope(x, positions, cos, sin)),
      constant: ['cos', 'sin'],
    },
    {
      inputs: turns,
      build: (g, { x, positions, cos, sin }) => one(g.rope(x, positions, cos, sin, true)),
      constant: ['cos', 'sin'],
    },
  ],
  gather: [
    {
      inputs: { table: normal(5, 3), rows: below(5, 2, 4) },
      build: (g, { table, rows }) => one(g.gather(table, rows)),
    },
  ],
  scatterAdd: [
    {
      inputs: { updates: normal(2, 4, 3), rows: below(5, 2, 4), like: normal(5, 3) },
      build: (g, { updates, rows, like }) => one(g.scatterAdd(updates, rows, like)),
      constant: ['like'],
    },
  ],
  topMask: [{ inputs: cube, build: (g, { x }) => one(g.topMask(x, 2)) }],
  dispatch: [{ inputs: { mask: chosen }, build: (g, { mask }) => g.dispatch(mask, 2) }],
  // the third part is empty; sums over rows and reunion give sizes that are known
  partition: [
    {
      inputs: { x: normal(6, 3), counts: int64([4], [2, 1, 0, 3]) },
      build: (g, { x, counts }) => {
        const parts = g.partition(x, counts, ['a', 'b', 'c', 'd']);
        return [
          g.unite(
            counts,
            parts.map((part, i) => g.scale(g.mul(part, part), i + 1)),
            6,
          ),
        ];
      },
    },
    {
      inputs: { x: normal(6, 3), w: normal(2, 3), counts: int64([3], [4, 0, 2]) },
      build: (g, { x, w, counts }) =>
        g
          .partition(x, counts, ['a', 'b', 'c'])
          .map((part) => g.reduceSum(g.silu(g.matmul(part, w, { transB: true })), [0])),
    },
  ],
  unite: [
    {
      inputs: { a: normal(2, 3), b: normal(4, 3), counts: int64([2], [2, 4]) },
      build: (g, { a, b, counts }) => one(g.unite(counts, [a, b], 6)),
    },
  ],
  crossEntropy: [
    {
      inputs: { logits: normal(4, 5), targets: below(5, 4) },
      build: (g, { logits, targets }) => one(g.crossEntropy(logits, targets)),
    },
  ],
  // parts of 4, 4 and 3 words
  linearCrossEntropy: [
    {
      inputs: { h: normal(6, 5), table: normal(11, 5), targets: below(11, 6) },
      build: (g, { h, table, targets }) => one(g.linearCrossEntropy(h, table, targets, 4).loss),
    },
    {
      inputs: { h: normal(6, 5), table: normal(11, 5), targets: below(11, 6) },
      build: (g, { h, table, targets }) => one(g.linearCrossEntropy(h, table, targets, 4, 1.5).loss),
    },
  ],
  linearCrossEntropyGradient: [
    {
      inputs: {
        ...{ h: normal(6, 5), table: normal(11, 5), targets: below(11, 6) },
        ...{ total: positive(6), dLoss: normal(6) },
      },
      build: (g, { h, table, targets, total, dLoss }) => [
        ...g.emit('linearCrossEntropyGradient', [h, table, targets, total, dLoss], {
          ...{ part: 4, softCap: 2, table: true },
        }),
        ...g.emit('linearCrossEntropy', [h, table, targets], { part: 4, softCap: null }),
      ],
    },
  ],
  crossEntropyGradient: [
    {
      inputs: { logp: normal(4, 5), targets: below(5, 4), dLoss: normal(4) },
      build: (g, { logp, targets, dLoss }) => g.emit('crossEntropyGradient', [logp, targets, dLoss], {}),
    },
  ],
  after: [
    {
      inputs: { a: normal(2, 3), b: normal(4), c: normal(2, 5) },
      constant: ['b', 'c'],
      build: (g, { a, b, c }) => one(g.after(a, [b, c])),
    },
  ],
  int4MatMul: [
    {
      inputs: { x: normal(2, 3, 8), s: positive(6, 2) },
      constant: ['s'],
      build: (g, { x, s }) => {
        const q = g.constant('q4', 'int4', [6, 8], () => Int8Array.from({ length: 48 }, (_, i) => (i % 16) - 8));
        return one(g.int4MatMul(x, q, s, s));
      },
    },
  ],
  quantise: [
    { inputs: { x: levels(3, 8) }, build: (g, { x }) => g.quantise(x, 'row', 127) },
    { inputs: { x: normal(4, 3) }, build: (g, { x }) => g.quantise(x, 'column', 63) },
  ],
  int8Outer: [
    {
      inputs: { x: levels(5, 8), dy: normal(5, 6) },
      build: (g, { x, dy }) => one(g.int8Outer(x, dy, 63)),
      tolerance: 3e-2,
    },
  ],
  int8Linear: [63, null].map((gradient: number | null) => ({
    inputs: { x: levels(2, 3, 8), w: normal(6, 8) },
    build: (g: Builder, { x, w }: Readonly<Record<string, Value>>) =>
      one(g.int8Linear(x, x, w, g.quantise(w, 'row', 63), gradient)),
    // a value between two levels may round the other way
    tolerance: 3e-2,
  })),
  sumOfSquares: [
    { inputs: cube, build: (g, { x }) => one(g.sumOfSquares([x])) },
    {
      inputs: { x: normal(7, 40), w: normal(40, 5), b: normal(3, 333) },
      build: (g, { x, w, b }) => one(g.sumOfSquares([g.matmul(x, w), b])),
      tolerance: 1e-3,
    },
  ],
};
