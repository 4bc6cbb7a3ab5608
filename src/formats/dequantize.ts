// Block formats of ggml to float32. Layouts and arithmetic as in ggml-quants.c (MIT), the definition of these formats.
import { CupelError } from '../base/errors.ts';
import { dequantizeIq4Nl, dequantizeIq4Xs } from './dequantize-iq4.ts';
import { dequantizeQ2K, dequantizeQ3K, dequantizeQ4K, dequantizeQ5K, dequantizeQ6K } from './dequantize-k.ts';
import { GGML_TYPES, type GgmlTypeName } from './ggml-types.ts';
import { halfTable, u16 } from './half.ts';

/** Decodes all blocks of `bytes` into `out`. */
export type Dequantizer = (bytes: Uint8Array, out: Float32Array) => void;

const DEQUANTIZERS: Partial<Record<GgmlTypeName, Dequantizer>> = {
  F32: (bytes, out) => new Uint8Array(out.buffer, out.byteOffset, out.byteLength).set(bytes),
  F16: dequantizeF16,
  BF16: dequantizeBf16,
  Q4_0: dequantizeQ4_0,
  Q4_1: dequantizeQ4_1,
  Q5_0: dequantizeQ5_0,
  Q5_1: dequantizeQ5_1,
  Q8_0: dequantizeQ8_0,
  Q2_K: dequantizeQ2K,
  Q3_K: dequantizeQ3K,
  Q4_K: dequantizeQ4K,
  Q5_K: dequantizeQ5K,
  Q6_K: dequantizeQ6K,
  IQ4_NL: dequantizeIq4Nl,
  IQ4_XS: dequantizeIq4Xs,
};

/** Types that `dequantize` reads. */
export const READABLE_TYPES = Object.keys(DEQUANTIZERS) as GgmlTypeName[];

/**
 * @param bytes whole blocks
 * @param out receives the values; made when absent
 * @throws CupelError for a type that is not weights (integers, F64)
 */
export function dequantize(type: GgmlTypeName, bytes: Uint8Array, out?: Float32Array): Float32Array {
  const decode = DEQUANTIZERS[type];
  if (!decode) {
    throw new CupelError(`tensors of type ${type} cannot be read as weights`, {
      remedy: `readable types: ${READABLE_TYPES.join(', ')}`,
    });
  }
  const values = out ?? new Float32Array((bytes.length / GGML_TYPES[type].bytes) * GGML_TYPES[type].block);
  decode(bytes, values);
  return values;
}

function dequantizeF16(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let i = 0, at = 0; i < out.length; i++, at += 2) out[i] = half[u16(bytes, at)];
}

function dequantizeBf16(bytes: Uint8Array, out: Float32Array): void {
  const words = new Uint32Array(out.buffer, out.byteOffset, out.length);
  for (let i = 0, at = 0; i < out.length; i++, at += 2) words[i] = u16(bytes, at) << 16;
}

function dequantizeQ4_0(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 18, to += 32) {
    const scale = half[u16(bytes, at)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 2 + i];
      out[to + i] = ((pair & 15) - 8) * scale;
      out[to + 16 + i] = ((pair >> 4) - 8) * scale;
    }
  }
}

function dequantizeQ4_1(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 20, to += 32) {
    const scale = half[u16(bytes, at)];
    const least = half[u16(bytes, at + 2)];
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 4 + i];
      out[to + i] = Math.fround((pair & 15) * scale) + least;
      out[to + 16 + i] = Math.fround((pair >> 4) * scale) + least;
    }
  }
}

function dequantizeQ5_0(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 22, to += 32) {
    const scale = half[u16(bytes, at)];
    const high = u16(bytes, at + 2) | (u16(bytes, at + 4) << 16);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 6 + i];
      out[to + i] = (((pair & 15) | (((high >>> i) & 1) << 4)) - 16) * scale;
      out[to + 16 + i] = (((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) - 16) * scale;
    }
  }
}

function dequantizeQ5_1(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 24, to += 32) {
    const scale = half[u16(bytes, at)];
    const least = half[u16(bytes, at + 2)];
    const high = u16(bytes, at + 4) | (u16(bytes, at + 6) << 16);
    for (let i = 0; i < 16; i++) {
      const pair = bytes[at + 8 + i];
      out[to + i] = Math.fround(((pair & 15) | (((high >>> i) & 1) << 4)) * scale) + least;
      out[to + 16 + i] = Math.fround(((pair >> 4) | (((high >>> (i + 16)) & 1) << 4)) * scale) + least;
    }
  }
}

function dequantizeQ8_0(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = 0; at < bytes.length; at += 34, to += 32) {
    const scale = half[u16(bytes, at)];
    for (let i = 0; i < 32; i++) out[to + i] = signed[at + 2 + i] * scale;
  }
}
