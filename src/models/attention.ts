// Attention over a batch: one square of scores per row, or rows that share a prefix computed once.
import type { Builder } from '../graph/builder.ts';
import { fixed } from '../graph/dims.ts';
import type { Value } from '../graph/node.ts';
import { attentionMask, maskWhere, withinWindow } from './mask.ts';
import type { ModelInputs, PackLayout } from './model.ts';

/** (q [B,H,S,d], k [B,G,S,d], v [B,G,S,e], scale): the heads' results [B,H,S,e]. */
export type Attend = (q: Value, k: Value, v: Value, scale: number) => Value;

/** Makes the masks once, for all layers that look `window` positions back (all, when left out). */
export function attendOver(b: Builder, inputs: ModelInputs, window?: number): Attend {
  if (inputs.layout) return attendToRows(b, inputs, inputs.layout, window);
  return causal(b, attentionMask(b, inputs, window), inputs.chunk);
}

/** Queries that share a product with the keys up to their last one. */
const CHUNK = 128;
/** Of the scores; below it the cutting costs as much. */
const LEAST_SAVED = 1 / 8;

/** Attention under a mask whose last queries and keys are the same tokens in order: chunks of queries meet no key after them. */
function causal(b: Builder, mask: Value, chunk = CHUNK): Attend {
  const [queries, keys] = [mask.shape[2], mask.shape[3]];
  const square: Attend = (q, k, v, scale) => b.attention(q, k, v, mask, scale);
  if (typeof queries !== 'number' || typeof keys !== 'number') return square;
  const chunks = Math.max(1, Math.round(queries / chunk));
  if ((queries * (1 - 1 / chunks)) / (2 * keys) < LEAST_SAVED) return square;
  const ends = Array.from({ length: chunks }, (_, i) => Math.round(((i + 1) * queries) / chunks));
  const sizes = ends.map((end, i) => end - (ends[i - 1] ?? 0));
  const before = (x: Value, axis: number, at: number) =>
    at === chunks - 1 ? x : b.slice(x, axis, 0, keys - queries + ends[at]);
  const masks = b.split(mask, 2, sizes).map((rows, at) => before(rows, 3, at));
  return (q, k, v, scale) =>
    b.concat(
      b.split(q, 2, sizes).map((rows, i) => b.attention(rows, before(k, 2, i), before(v, 2, i), masks[i], scale)),
      2,
    );
}

/** `attendOver` for each window, made once. */
export function attenders(b: Builder, inputs: ModelInputs): (window: number | undefined) => Attend {
  const made = new Map<number | undefined, Attend>();
  return (window) => {
    const known = made.get(window) ?? attendOver(b, inputs, window);
    made.set(window, known);
    return known;
  };
}

/** The tokens [1, P + B*S] are a prefix and then B rows; equal to one square mask, without the scores between rows. */
function attendToRows(b: Builder, inputs: ModelInputs, layout: PackLayout, window?: number): Attend {
  const { prefix: P, rows: B, length: S } = layout;
  const part = (x: Value, start: number, batch: number, size: number) =>
    b.reshape(b.slice(x, 1, start, batch * size), [batch, size]);
  const cut = (start: number, batch: number, size: number) => ({
    segments: part(inputs.segments, start, batch, size),
    positions: part(inputs.positions, start, batch, size),
  });
  const rows = cut(P, B, S);
  const own = attentionMask(b, rows, window);
  if (P === 0) {
    const attend = causal(b, own, inputs.chunk);
    return (q, k, v, scale) =>
      fromRows(b, attend(toRows(b, q, 0, layout), toRows(b, k, 0, layout), toRows(b, v, 0, layout), scale));
  }
  const prefix = cut(0, 1, P);
  const before = attentionMask(b, prefix, window);
  const attendBefore = causal(b, before, inputs.chunk);
  const attend = causal(b, b.concat([prefixMask(b, prefix, rows, window), own], 3), inputs.chunk);
  return (q, k, v, scale) => {
    const head = (x: Value) => b.slice(x, 2, 0, P);
    const [kP, vP] = [head(k), head(v)];
    const first = attendBefore(head(q), kP, vP, scale);
    const keys = b.concat([repeat(b, kP, B), toRows(b, k, P, layout)], 2);
    const values = b.concat([repeat(b, vP, B), toRows(b, v, P, layout)], 2);
    const rest = attend(toRows(b, q, P, layout), keys, values, scale);
    return b.concat([first, fromRows(b, rest)], 2);
  };
}

type Cut = Pick<ModelInputs, 'segments' | 'positions'>;

/** [B,1,S,P]: which tokens of the prefix the tokens of the rows see; a prefix shorter than P is padded. */
function prefixMask(b: Builder, prefix: Cut, rows: Cut, window?: number): Value {
  const [batch, length] = rows.segments.shape;
  const size = prefix.segments.shape[1];
  const zero = b.constant('mask.prefix', 'int64', [], () => BigInt64Array.of(0n));
  // broadcast to every row by a comparison that always holds
  const any = b.equal(b.reshape(rows.segments, [batch, length, 1]), b.reshape(rows.segments, [batch, length, 1]));
  const shared = b.and(b.reshape(b.equal(prefix.segments, zero), [1, 1, size]), any);
  const seen = window === undefined ? shared : b.and(shared, withinWindow(b, rows.positions, prefix.positions, window));
  return b.reshape(maskWhere(b, seen), [batch, 1, length, size]);
}

/** [1,H,P+B*S,d] to the rows after the first `start` tokens, [B,H,S,d]. */
function toRows(b: Builder, x: Value, start: number, { rows, length }: PackLayout): Value {
  const [heads, width] = [fixed(x, 1), fixed(x, 3)];
  const tail = start === 0 ? x : b.slice(x, 2, start, rows * length);
  return b.transpose(b.reshape(tail, [heads, rows, length, width]), [1, 0, 2, 3]);
}

/** [B,H,S,d] to [1,H,B*S,d]. */
function fromRows(b: Builder, x: Value): Value {
  const [rows, heads, length, width] = [0, 1, 2, 3].map((axis) => fixed(x, axis));
  return b.reshape(b.transpose(x, [1, 0, 2, 3]), [1, heads, rows * length, width]);
}

/** [1,G,P,d] to [B,G,P,d]. */
function repeat(b: Builder, x: Value, rows: number): Value {
  if (rows === 1) return x;
  const zeros = b.constant(`zeros.${rows}`, 'float32', [rows, 1, 1, 1], () => new Float32Array(rows));
  return b.add(x, zeros);
}
