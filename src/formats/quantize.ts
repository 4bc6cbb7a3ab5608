// float32 values as blocks of a ggml type, with llama.cpp's reference rounding.
import { floatToHalf, halfTable } from './half.ts';
import { encodeFloats } from './safetensors-write.ts';

export type QuantizedType = 'F32' | 'F16' | 'BF16' | 'Q8_0' | 'Q4_0';

const BLOCK = 32;
const NEAREST = new Float32Array(1);

/** Bytes of `values` in `type`. Rows must be whole blocks of 32 for Q8_0 and Q4_0. */
export function quantize(type: QuantizedType, values: Float32Array): Uint8Array {
  if (type === 'F32' || type === 'F16' || type === 'BF16') return encodeFloats(values, type);
  return type === 'Q8_0' ? toQ8(values) : toQ4(values);
}

/** Q8_0: a half scale (largest magnitude / 127) and 32 signed bytes, rounded half away from zero. */
function toQ8(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / BLOCK) * 34);
  const view = new DataView(out.buffer);
  for (let from = 0, at = 0; from < values.length; from += BLOCK, at += 34) {
    let most = 0;
    for (let i = from; i < from + BLOCK; i++) most = Math.max(most, Math.abs(values[i]));
    const scale = Math.fround(most / 127);
    const inverse = scale === 0 ? 0 : Math.fround(1 / scale);
    view.setUint16(at, floatToHalf(scale), true);
    for (let i = 0; i < BLOCK; i++) view.setInt8(at + 2 + i, roundAway(Math.fround(values[from + i] * inverse)));
  }
  return out;
}

/**
 * Q4_0: a half scale d and 32 values q - 8 in 4 bits. llama.cpp takes d = extreme / -8; we also try scales near it and keep the
 * one with the least squared error, which costs nothing when the file is read.
 */
function toQ4(values: Float32Array): Uint8Array {
  const out = new Uint8Array((values.length / BLOCK) * 18);
  const view = new DataView(out.buffer);
  for (let from = 0, at = 0; from < values.length; from += BLOCK, at += 18) {
    const half = bestScale(values, from);
    view.setUint16(at, half, true);
    const scale = halfTable()[half];
    for (let i = 0; i < BLOCK / 2; i++) {
      const low = nibble(values[from + i], scale);
      out[at + 2 + i] = low | (nibble(values[from + BLOCK / 2 + i], scale) << 4);
    }
  }
  return out;
}

const nibble = (value: number, scale: number): number =>
  scale === 0 ? 8 : Math.min(15, Math.max(0, Math.floor(value / scale + 8.5)));

/** Candidates around the reference scale, as multiples of it. */
const CANDIDATES = [1, 0.86, 0.9, 0.94, 0.97, 1.03, 1.07, 1.12];

function bestScale(values: Float32Array, from: number): number {
  let extreme = 0;
  for (let i = from; i < from + BLOCK; i++) if (Math.abs(values[i]) > Math.abs(extreme)) extreme = values[i];
  let best = 0;
  let least = Number.POSITIVE_INFINITY;
  for (const factor of CANDIDATES) {
    NEAREST[0] = (extreme / -8) * factor;
    const half = floatToHalf(NEAREST[0]);
    const scale = halfTable()[half];
    let error = 0;
    for (let i = from; i < from + BLOCK; i++) error += ((nibble(values[i], scale) - 8) * scale - values[i]) ** 2;
    if (error < least) {
      least = error;
      best = half;
    }
  }
  return best;
}

function roundAway(value: number): number {
  return value < 0 ? -Math.floor(-value + 0.5) : Math.floor(value + 0.5);
}
