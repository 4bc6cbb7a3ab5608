// The attention mask of packed sequences, computed inside the graph from segment numbers.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import type { ModelInputs } from './model.ts';

/** Added to the scores of what must not be seen; finite, so that a row with nothing to see stays a number. */
const HIDDEN = -1e9;

/**
 * The additive mask [B,1,S,S]: 0 where a token may look, HIDDEN elsewhere. A token sees itself and what stands before it in its own
 * segment and in segment 0. With a window it sees only positions less than `window` behind its own.
 */
export function attentionMask(
  b: Builder,
  { segments, positions }: Pick<ModelInputs, 'segments' | 'positions'>,
  window?: number,
): Value {
  const [batch, rows] = segments.shape;
  const index = b.iota(segments, 1);
  const query = b.reshape(segments, [batch, rows, 1]);
  const key = b.reshape(segments, [batch, 1, rows]);
  const earlier = b.lessOrEqual(b.reshape(index, [1, rows]), b.reshape(index, [rows, 1]));
  const shared = b.equal(
    key,
    b.constant('mask.prefix', 'int64', [], () => BigInt64Array.of(0n)),
  );
  const visible = b.and(earlier, b.or(b.equal(query, key), shared));
  const seen = window === undefined ? visible : b.and(visible, withinWindow(b, positions, positions, window));
  return b.reshape(maskWhere(b, seen), [batch, 1, rows, rows]);
}

/** 0 where `seen` holds, HIDDEN elsewhere. */
export function maskWhere(b: Builder, seen: Value): Value {
  const number = (name: string, value: number) => b.constant(name, 'float32', [], () => Float32Array.of(value));
  return b.where(seen, number('mask.visible', 0), number('mask.hidden', HIDDEN));
}

/** [B,S,T] for positions of queries [B,S] and keys [B or 1,T]: the query's is less than `window` past the key's. */
export function withinWindow(b: Builder, queries: Value, keys: Value, window: number): Value {
  const reach = b.constant(`mask.window.${window}`, 'int64', [], () => BigInt64Array.of(BigInt(window - 1)));
  const furthest = b.add(b.reshape(keys, [keys.shape[0], 1, keys.shape[1]]), reach);
  return b.lessOrEqual(b.reshape(queries, [...queries.shape, 1]), furthest);
}
