// Products on a tape, and what is added to them.
import type { Value } from '../../graph/node.ts';
import type { Narrow } from '../../graph/op.ts';
import { sizeOf } from '../../graph/tensor.ts';
import type { Lower, Lowering } from './lowering.ts';
import type { Fields, TapeOp } from './tape.ts';
import { type Format, formatNumber, NARROW_MOST } from './tiles.ts';
import { expanded, isDense, placeOf, transposed, type View } from './view.ts';

/** Of an item of a product: both sides' tiles stay in the second cache, and there are items for every thread. */
const PRODUCT = { rows: 128, columns: 288 };

/**
 * out [..,M,N] = alpha * left [..,M,K] @ right [..,K,N], whose leading axes are those of out, or none where all share one matrix.
 * @param asked what to compute with; only matrices have a choice
 */
export function product(l: Lowering, out: View, left: View, right: View, alpha: number, asked: Format = 'bf16'): void {
  const [M, N] = out.shape.slice(-2);
  const K = left.shape.at(-1)!;
  const matrices = out.shape.length === 2 && left.shape.length === 2;
  const fits = asked === 'int8 blocks' || K <= NARROW_MOST;
  const format = matrices && fits ? asked : 'bf16';
  const batches = sizeOf(out.shape.slice(0, -2));
  l.add('product', batches * Math.ceil(M / PRODUCT.rows) * Math.ceil(N / PRODUCT.columns), {
    3: placeOf(out),
    5: l.tiles.of(left, false, format),
    7: l.tiles.of(transposed(right), true, format),
    11: M,
    12: N,
    13: K,
    14: alpha,
    15: N,
    16: 1,
    17: M * N,
    19: left.shape.length > 2,
    20: right.shape.length > 2,
    22: PRODUCT.rows,
    23: PRODUCT.columns,
    // many columns: those of an item stay in the cache while the rows pass by, else the rows do
    24: N <= 2 * PRODUCT.columns,
    45: formatNumber(format),
  });
}

export const matmul: Lower<'matmul'> = (l, { inputs, outputs: [y], attributes: { transA, transB, alpha, narrow } }) => {
  let [a, b] = inputs.map((input) => l.view(input));
  const shape = l.sizes(y.shape);
  let out = l.result(y);
  // one matrix for all of a's leading axes: all their rows at once
  if (b.shape.length === 2 && a.shape.length > 2 && !transA) {
    const rows = [sizeOf(a.shape.slice(0, -1)), a.shape.at(-1)!];
    a = l.reshaped(a, rows);
    out = l.reshaped(out, [rows[0], shape.at(-1)!]);
  }
  const lead = out.shape.slice(0, -2);
  const led = (view: View): View => {
    const own = view.shape.slice(0, -2);
    if (own.every((size) => size === 1) && lead.length > 0) return l.reshaped(view, view.shape.slice(-2));
    return own.length === 0 ? view : expanded(view, [...lead, ...view.shape.slice(-2)]);
  };
  product(
    l,
    out,
    led(transA ? transposed(a) : a),
    led(transB ? transposed(b) : b),
    alpha,
    formatOf(narrow, transA, a.shape.at(transA ? -2 : -1)!),
  );
};

/** In a longer row, of the vocabulary's logits, one number may be so large that levels for all of it leave nothing of the others. */
const LONG = 8192;

/** What a narrow product computes with: over the rows of both, a weight's gradient, and over long ones each 64 have levels of their own. */
function formatOf(narrow: Narrow | undefined, overRows: boolean, K: number): Format {
  if (!narrow) return 'bf16';
  return narrow === 'all' && (overRows || K > LONG) ? 'int8 blocks' : 'int8';
}

/** Products that one can add to itself, and where they are told of. */
const PARTS = { count: 29, most: 3, first: 30, step: 5 };

/** One product in place of two whose results are added: what the first makes is never written. */
function summed(l: Lowering, views: readonly View[], y: Value): boolean {
  const [one, other] = views.map((view) => l.maker(view, 'product'));
  if (!one || !other || one === other) return false;
  const [into, from] = l.isBefore(views[0], other) ? [other, one] : [one, other];
  const parts = (op: TapeOp) => Number(op.fields[PARTS.count] ?? 0);
  const alike = [11, 12, 14, 15, 19, 20, 45].every((at) => into.fields[at] === from.fields[at]) && !into.fields[19];
  const own = parts(from);
  if (!alike || into.fields[25] || from.fields[25] || (into.fields[2] && from.fields[2])) return false;
  if (parts(into) + own + 1 > PARTS.most) return false;
  const added = [[5, 7, 13], ...Array.from({ length: own }, (_, i) => partFields(i))];
  const fields = added.flatMap((at, i) =>
    partFields(parts(into) + i).map((to, j) => [to, from.fields[at[j]]] as const),
  );
  const sum: Fields = from.fields[2] ? { 2: true, 9: from.fields[9], 21: from.fields[21] } : {};
  into.fields = { ...into.fields, ...Object.fromEntries(fields), ...sum, [PARTS.count]: parts(into) + own + 1 };
  l.leaveOut(from);
  l.bind(y, { ...views[into === other ? 1 : 0], shape: l.sizes(y.shape) });
  return true;
}

/** Of the left tiles, the right tiles and K of a product that another adds. */
function partFields(i: number): readonly [number, number, number] {
  const first = PARTS.first + PARTS.step * i;
  return [first, first + 2, first + 4];
}

/** Ops that can add a tensor to their result, and where they are told of it. */
const ADDING = { product: { flag: 2, place: 9, stride: 21 }, rmsNormGradient: { flag: 16, place: 17, stride: null } };

/** Adds one tensor to what another op computes, where that can: no sum of its own is made. */
export function added(l: Lowering, inputs: readonly Value[], y: Value, shape: readonly number[]): boolean {
  const views = inputs.map((input) => l.view(input));
  if (!views.every((view) => isDense(view) && sizeOf(view.shape) === sizeOf(shape))) return false;
  if (summed(l, views, y)) return true;
  for (const [view, other] of [
    [views[1], views[0]],
    [views[0], views[1]],
  ]) {
    const op = l.maker(view, 'product', 'rmsNormGradient');
    if (!op || !l.isBefore(other, op)) continue;
    const { flag, place, stride } = ADDING[op.kernel as keyof typeof ADDING];
    const batched = op.kernel === 'product' && (op.fields[19] || op.fields[20]);
    if (op.fields[flag] || batched) continue;
    op.fields = { ...op.fields, [flag]: true, [place]: placeOf(other), ...(stride ? { [stride]: op.fields[12] } : {}) };
    l.bind(y, { ...view, shape });
    return true;
  }
  return false;
}
