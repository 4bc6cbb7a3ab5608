// Splitting the residual stream into attention heads and back.
import type { Builder } from '../graph/builder.ts';
import { fixed, timesDims } from '../graph/dims.ts';
import type { Value } from '../graph/node.ts';

/** [B,S,H*d] to [B,H,S,d]. */
export function splitHeads(b: Builder, x: Value, heads: number): Value {
  const [batch, rows] = x.shape;
  return b.transpose(b.reshape(x, [batch, rows, heads, fixed(x, 2) / heads]), [0, 2, 1, 3]);
}

/** [B,H,S,d] to [B,S,H*d]. */
export function joinHeads(b: Builder, x: Value): Value {
  const [batch, heads, rows, width] = x.shape;
  return b.reshape(b.transpose(x, [0, 2, 1, 3]), [batch, rows, timesDims(heads, width)]);
}

/** [B,S,D] to [B*S,D]. */
export function flattenTokens(b: Builder, x: Value): Value {
  return b.reshape(x, [timesDims(...x.shape.slice(0, -1)), fixed(x, 2)]);
}
