// Scaled dot-product attention with grouped key/value heads and an additive mask.

import type { Builder } from '../builder.ts';
import { fixed, require, timesDims } from '../dims.ts';
import type { Value, ValueType } from '../node.ts';
import type { OnnxWriter, OpRecord } from '../op.ts';
import { type Doubles, sizeOf } from '../tensor.ts';
import { multiply } from './matmul.ts';
import { reshapeVector } from './reshape.ts';
import { mapRows, softmaxRow } from './softmax.ts';

/** The H query heads stand in groups of H/G that share a key/value head; a group's rows are stacked, so no key is repeated. */
function types(inputs: readonly Value[]): readonly ValueType[] {
  const [q, k, v, mask] = inputs;
  const ranks = inputs.length === 4 && inputs.every((x) => x.shape.length === 4 && x.dtype === 'float32');
  require(ranks, 'attention', inputs, 'q [B,H,S,d], k [B,G,T,d], v [B,G,T,e], mask [B,1,S,T]');
  const [batch, heads, rows, width] = q.shape;
  const [, groups, columns] = k.shape;
  const fit =
    k.shape[0] === batch &&
    v.shape[0] === batch &&
    v.shape[1] === groups &&
    v.shape[2] === columns &&
    k.shape[3] === width &&
    fixed(q, 1) % fixed(k, 1) === 0 &&
    mask.shape[1] === 1 &&
    mask.shape[2] === rows &&
    mask.shape[3] === columns;
  require(fit, 'attention', inputs, 'q [B,H,S,d], k [B,G,T,d], v [B,G,T,e], mask [B,1,S,T]');
  return [
    { dtype: 'float32', shape: [batch, heads, rows, v.shape[3]] },
    { dtype: 'float32', shape: [batch, groups, stacked(q, k), columns] },
  ];
}

/** H/G * S */
function stacked(q: Value, k: Value) {
  return timesDims(fixed(q, 1) / fixed(k, 1), q.shape[2]);
}

/** [B,H,S,e] as [B,G,H/G*S,e]. */
function grouped(g: Builder, x: Value, k: Value): Value {
  return g.reshape(x, [x.shape[0], k.shape[1], stacked(x, k), x.shape[3]]);
}

export const attention: OpRecord<'attention'> = {
  shape: types,
  gradient: (g, { inputs: [q, k, v], outputs: [o, p], attributes: { scale } }, [dO]) => {
    const dOut = grouped(g, dO!, k);
    const dV = g.matmul(p, dOut, { transA: true });
    const dP = g.matmul(dOut, v, { transB: true });
    // the row sums of p * dP equal those of o * dO, which is much narrower (Dao et al., 2022)
    const sums = g.reduceSum(g.mul(dOut, grouped(g, o, k)), [-1], true);
    const dScores = g.mul(p, g.sub(dP, sums));
    const dQ = g.matmul(dScores, k, { alpha: scale });
    const dK = g.matmul(dScores, grouped(g, q, k), { transA: true, alpha: scale });
    return [g.reshape(dQ, q.shape), dK, dV, null];
  },
  onnx: (node, w) => {
    const [q, k, v, mask] = node.inputs;
    const [o, p] = node.outputs;
    const groups = fixed(q, 1) / fixed(k, 1);
    const [batch, heads, rows] = q.shape;
    const view = (name: string, from: Value['shape'], to: Value['shape'], out = w.temporary()) => {
      w.node('Reshape', [name, w.int64(reshapeVector(from, to))], [out]);
      return out;
    };
    const wide = [batch, fixed(k, 1), groups, rows, k.shape[2]];
    const scores = w.temporary();
    const qs = view(q.name, q.shape, [batch, k.shape[1], stacked(q, k), q.shape[3]]);
    const attributes = { transB: { int: 1 }, alpha: { float: node.attributes.scale } };
    w.node('FusedMatMul', [qs, k.name], [scores], attributes, 'com.microsoft');
    const masked = addMask(w, groups === 1 ? scores : view(scores, p.shape, wide), mask, groups > 1);
    const probabilities = groups === 1 ? p.name : w.temporary();
    w.node('Softmax', [masked], [probabilities], { axis: { int: -1 } });
    if (groups > 1) view(probabilities, wide, p.shape, p.name);
    const result = w.temporary();
    w.node('MatMul', [p.name, v.name], [result]);
    view(result, [batch, k.shape[1], stacked(q, k), v.shape[3]], [batch, heads, rows, v.shape[3]], o.name);
  },
  reference: ([q, k, v, mask], { scale }) => attend(q, k, v, mask, scale),
};

function addMask(w: OnnxWriter, scores: string, mask: Value, grouped: boolean): string {
  const [shaped, masked] = [w.temporary(), w.temporary()];
  if (grouped) w.node('Unsqueeze', [mask.name, w.int64([2])], [shaped]);
  w.node('Add', [scores, grouped ? shaped : mask.name], [masked]);
  return masked;
}

function attend(q: Doubles, k: Doubles, v: Doubles, mask: Doubles, scale: number): readonly Doubles[] {
  const [batch, heads, rows, width] = q.shape;
  const [, groups, columns] = k.shape;
  const stackedQ = { shape: [batch, groups, (heads / groups) * rows, width], data: q.data };
  const scores = multiply(stackedQ, k, { transA: false, transB: true, alpha: scale });
  const perBatch = sizeOf(scores.shape) / batch;
  const masked = scores.data.map((score, i) => {
    const at = Math.floor(i / perBatch) * rows * columns + (i % (rows * columns));
    return score + mask.data[at];
  });
  const p = mapRows({ shape: scores.shape, data: masked }, softmaxRow);
  const o = multiply(p, v, { transA: false, transB: false, alpha: 1 });
  return [{ shape: [batch, heads, rows, v.shape[3]], data: o.data }, p];
}
