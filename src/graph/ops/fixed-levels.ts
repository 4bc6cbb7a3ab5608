// Quantised products in the standard's pairs of QuantizeLinear and DequantizeLinear, of which OpenVINO makes products in int8: numbers
// in [-1, 1] need no range of their own.
import type { Int8Weight, OnnxWriter } from '../op.ts';

const STEP = 1 / 127;

/** Numbers in [-1, 1] rounded to so many levels both ways. */
export function fixedLevels(w: OnnxWriter, scaled: string, count = 1 / STEP): string {
  const [levels, rounded] = [w.temporary(), w.temporary()];
  const [step, zero] = [w.float32([1 / count], []), w.int8(0)];
  w.node('QuantizeLinear', [scaled, step, zero], [levels]);
  w.node('DequantizeLinear', [levels, step, zero], [rounded]);
  return rounded;
}

/** Rows in [-1, 1] times a weight [K,N]. */
export function fixedProduct(w: OnnxWriter, scaled: string, { q, scale }: Int8Weight, product: string): void {
  if (w.isConstant(q)) {
    const columns = w.temporary();
    w.node('DequantizeLinear', [q.name, scale.name], [columns], { axis: { int: 1 } });
    w.node('MatMul', [fixedLevels(w, scaled), columns], [product]);
  } else movingProduct(w, scaled, { q, scale }, product);
}

/** As `fixedProduct`, or with q [N,K] upright; scales that are not known beforehand stand behind the product. */
export function movingProduct(
  w: OnnxWriter,
  scaled: string,
  { q, scale }: Int8Weight,
  product: string,
  upright = false,
): void {
  const [columns, turned, bare, scales] = Array.from({ length: 4 }, () => w.temporary());
  // OpenVINO knows quantised numbers by what reads them: they are transposed after it
  w.node('DequantizeLinear', [q.name, w.float32([STEP], []), w.int8(0)], [columns]);
  if (upright) w.node('Transpose', [columns], [turned], { perm: { ints: [1, 0] } });
  w.node('MatMul', [fixedLevels(w, scaled), upright ? turned : columns], [bare]);
  w.node('Mul', [scale.name, w.float32([1 / STEP], [])], [scales]);
  w.node('Mul', [bare, scales], [product]);
}
