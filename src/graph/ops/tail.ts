// What OpenVINO keeps in float32 though bfloat16 is asked for: all that leads from the last products of a graph to its outputs.
import type { Dim } from '../node.ts';
import type { OnnxWriter } from '../op.ts';

const BLOCK = 16;
const IDENTITY = Array.from({ length: BLOCK * BLOCK }, (_, i) => Number(i % (BLOCK + 1) === 0));

/**
 * Multiplies x [..., width] with the identity, in blocks: a product that ends the tail of the graph, so that what is before it is computed
 * in bfloat16 (`Graph::EnforceInferencePrecision` of its processor plugin). Of the gradient of a small tensor, which would otherwise
 * draw whole chains of large ones along. Other runtimes, and widths that 16 does not divide: x itself.
 */
export function tailEnd(w: OnnxWriter, x: string, width: Dim): string {
  if (w.reader !== 'openvino' || typeof width !== 'number' || width % BLOCK !== 0) return x;
  const [shape, blocks, product, y] = Array.from({ length: 4 }, () => w.temporary());
  w.node('Shape', [x], [shape]);
  w.node('Reshape', [x, w.int64([-1, BLOCK])], [blocks]);
  w.node('MatMul', [blocks, w.float32(IDENTITY, [BLOCK, BLOCK])], [product]);
  w.node('Reshape', [product, shape], [y]);
  return y;
}
