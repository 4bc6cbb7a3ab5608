// Attention on a tape: at once where its scores fit a thread's memory and nobody reads the probabilities, else by products and softmax.
import type { Value } from '../../graph/node.ts';
import { sizeOf } from '../../graph/tensor.ts';
import { type Lower, type Lowering, rowsEach } from './lowering.ts';
import { product } from './product.ts';
import { type Place, SCRATCH } from './tape.ts';
import { placeOf, transposed, type View } from './view.ts';

/** Rows of an item, and keys that are looked at together or not at all (native/attention.c). */
const SIDE = 32;

export const attention: Lower<'attention'> = (l, { inputs, outputs: [o, p], attributes: { scale } }) => {
  const [q, k, v, mask] = inputs.map((input) => l.view(input));
  if (!l.wanted(p) && attentionScratch(q.shape, k.shape, v.shape) <= SCRATCH)
    return attendAtOnce(l, [q, k, v, mask], o, p, scale);
  const grouped = [q.shape[0], k.shape[1], (q.shape[1] / k.shape[1]) * q.shape[2], q.shape[3]];
  const rows = l.reshaped(q, grouped);
  const scores = l.result(p);
  product(l, scores, rows, transposed(k), scale);
  masked(l, scores, mask);
  const out = l.fresh('float32', l.sizes(o.shape));
  product(l, l.reshaped(out, [...grouped.slice(0, 3), v.shape[3]]), scores, v, 1);
  if (l.isPart(o)) l.copy(out, l.part(o));
  else l.bind(o, out);
};

/** What the backward kernel needs, which is more than the forward one does, in bytes (native/attention.c). */
export function attentionScratch(q: readonly number[], k: readonly number[], v: readonly number[]): number {
  const tiles = (n: number, by: number) => Math.ceil(n / by);
  const [S, d, T, e] = [q[2], q[3], k[2], v[3]];
  const [deep, wide, keys, rows] = [d, e, T, S].map((n) => tiles(n, 32));
  const packed = 2 * (deep + wide + keys) + (tiles(d, 16) + tiles(e, 16) + 2 * tiles(T, 16)) * rows;
  return 1024 * packed + 4096 * (2 * keys + deep + keys * (deep + wide));
}

function attendAtOnce(l: Lowering, [q, k, v, mask]: readonly View[], o: Value, p: Value, scale: number): void {
  const [B, H, S, d] = q.shape;
  const [, G, T, e] = v.shape;
  const queries = l.inLines(q);
  const lines = l.inLines(mask);
  const logs = l.fresh('float32', [B, H, S]);
  l.logs.set(p.name, logs);
  const out = l.part(o);
  l.add('attention', B * H * Math.ceil(S / SIDE), {
    3: placeOf(out),
    5: placeOf(logs),
    7: placeOf(queries),
    9: l.tiles.of(k, true),
    11: l.tiles.of(transposed(v), true),
    13: placeOf(lines),
    ...Object.fromEntries([scale, B, H, G, S, T, d, e].map((value, i) => [15 + i, value])),
    ...stridesAt(23, queries),
    ...stridesAt(26, out),
    29: lines.strides[2],
    30: lines.strides[0],
    31: sight(l, lines),
  });
}

/** Which keys each 32 rows of a mask [B,1,S,T] look at: found once for all layers. */
function sight(l: Lowering, { shape: [B, , S, T], ...mask }: View): Place {
  const view = { ...mask, shape: [B, 1, S, T] };
  return l.once('sight', view, () => {
    const batches = mask.strides[0] === 0 ? 1 : B;
    const parts = Math.ceil(S / SIDE);
    const out = placeOf(l.fresh('int64', [batches, parts, 2]));
    const fields = { 3: out, 5: placeOf(view), 7: S, 8: T, 9: mask.strides[2], 10: mask.strides[0] };
    l.add('sight', batches * parts, fields);
    return out;
  });
}

/** By batch, head and row. */
function stridesAt(start: number, { strides }: View): Record<number, number> {
  return Object.fromEntries(strides.slice(0, 3).map((stride, i) => [start + i, stride]));
}

export const attentionGradient: Lower<'attentionGradient'> = (
  l,
  { inputs, outputs: [dq, dk, dv], attributes: { scale, of } },
) => {
  const [q, k, v, mask, o, dO] = inputs.map((input) => l.view(input));
  const [B, H, S, d] = q.shape;
  const [, G, T, e] = v.shape;
  const shape = [B, H, S, e];
  const slopes = l.reshaped(dO, shape);
  const [queries, results, given] = [q, o, slopes].map((view) => l.inLines(view));
  const lines = l.inLines(mask);
  const [dQ, dK, dV] = [l.part(dq), l.heads(dk), l.heads(dv)];
  l.add('attentionGradient', B * G, {
    3: placeOf(dQ),
    5: placeOf(dK),
    7: placeOf(dV),
    9: placeOf(queries),
    11: placeOf(results),
    13: placeOf(given),
    15: l.tiles.of(k, true),
    17: l.tiles.of(v, true),
    19: l.tiles.of(transposed(k), true),
    21: placeOf(lines),
    23: placeOf(l.logs.get(of)!),
    ...Object.fromEntries([scale, B, H, G, S, T, d, e].map((value, i) => [25 + i, value])),
    ...stridesAt(33, queries),
    ...stridesAt(36, results),
    ...stridesAt(39, given),
    42: lines.strides[2],
    43: lines.strides[0],
    ...stridesAt(44, dQ),
    47: sight(l, lines),
  });
};

/** Softmax in place of scores [B,G,H/G*S,T] with mask [B,1,S,T] added. */
function masked(l: Lowering, scores: View, mask: View): void {
  const width = scores.shape[3];
  const rows = sizeOf(scores.shape.slice(0, -1));
  const lines = l.inLines(mask);
  const each = rowsEach(width);
  l.add('softmax', Math.ceil(rows / each), {
    3: placeOf(scores),
    5: placeOf(scores),
    7: rows,
    8: width,
    9: each,
    10: true,
    11: placeOf(lines),
    13: rows / scores.shape[0],
    14: mask.shape[2],
    15: lines.strides[2],
    16: lines.strides[0],
  });
}
