// The "K" block formats of ggml: 256 values a block, with scales (and minima) of small groups quantised themselves.
import { halfTable, u16 } from './half.ts';

/** 16 groups of 16 values of 2 bits; 4-bit scales and minima. Block: scales[16], codes[64], scale, minimum. */
export function dequantizeQ2K(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 84, to += 256) {
    const scale = half[u16(bytes, at + 80)];
    const least = half[u16(bytes, at + 82)];
    for (let group = 0; group < 16; group++) {
      const packed = bytes[at + group];
      const factor = Math.fround(scale * (packed & 15));
      const offset = Math.fround(least * (packed >> 4));
      const codes = at + 16 + 32 * (group >> 3) + 16 * (group & 1);
      const shift = 2 * ((group & 7) >> 1);
      for (let i = 0; i < 16; i++) {
        out[to + 16 * group + i] = Math.fround(factor * ((bytes[codes + i] >> shift) & 3)) - offset;
      }
    }
  }
}

/** 16 groups of 16 values of 3 bits (the high bit apart); 6-bit scales. Block: high[32], codes[64], scales[12], scale. */
export function dequantizeQ3K(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 110, to += 256) {
    const scale = half[u16(bytes, at + 108)];
    for (let group = 0; group < 16; group++) {
      const factor = Math.fround(scale * (q3Scale(bytes, at + 96, group) - 32));
      const codes = at + 32 + 32 * (group >> 3) + 16 * (group & 1);
      const high = at + 16 * (group & 1);
      const mask = 1 << (group >> 1);
      const shift = 2 * ((group & 7) >> 1);
      for (let i = 0; i < 16; i++) {
        const low = (bytes[codes + i] >> shift) & 3;
        out[to + 16 * group + i] = factor * (low - (bytes[high + i] & mask ? 0 : 4));
      }
    }
  }
}

/** Sixteen 6-bit scales in 12 bytes: low halves in the first eight, upper pairs of bits in the last four. */
function q3Scale(bytes: Uint8Array, at: number, group: number): number {
  const low = group < 8 ? bytes[at + group] & 15 : bytes[at + group - 8] >> 4;
  return low | (((bytes[at + 8 + (group & 3)] >> (2 * (group >> 2))) & 3) << 4);
}

/** Eight 6-bit scales and minima in 12 bytes. */
function scaleAndMinimum(bytes: Uint8Array, at: number, group: number): [number, number] {
  if (group < 4) return [bytes[at + group] & 63, bytes[at + group + 4] & 63];
  const packed = bytes[at + group + 4];
  return [(packed & 15) | ((bytes[at + group - 4] >> 6) << 4), (packed >> 4) | ((bytes[at + group] >> 6) << 4)];
}

/** Eight groups of 32 values of 4 bits. Block: scale, minimum, scales[12], codes[128]. */
export function dequantizeQ4K(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 144, to += 256) {
    const scale = half[u16(bytes, at)];
    const least = half[u16(bytes, at + 2)];
    for (let group = 0; group < 8; group++) {
      const [factorCode, leastCode] = scaleAndMinimum(bytes, at + 4, group);
      const factor = Math.fround(scale * factorCode);
      const offset = Math.fround(least * leastCode);
      const codes = at + 16 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      for (let i = 0; i < 32; i++) {
        out[to + 32 * group + i] = Math.fround(factor * ((bytes[codes + i] >> shift) & 15)) - offset;
      }
    }
  }
}

/** As Q4_K with a fifth bit. Block: scale, minimum, scales[12], high[32], codes[128]. */
export function dequantizeQ5K(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 176, to += 256) {
    const scale = half[u16(bytes, at)];
    const least = half[u16(bytes, at + 2)];
    for (let group = 0; group < 8; group++) {
      const [factorCode, leastCode] = scaleAndMinimum(bytes, at + 4, group);
      const factor = Math.fround(scale * factorCode);
      const offset = Math.fround(least * leastCode);
      const codes = at + 48 + 32 * (group >> 1);
      const shift = 4 * (group & 1);
      for (let i = 0; i < 32; i++) {
        const code = ((bytes[codes + i] >> shift) & 15) | (((bytes[at + 16 + i] >> group) & 1) << 4);
        out[to + 32 * group + i] = Math.fround(factor * code) - offset;
      }
    }
  }
}

/** 16 groups of 16 values of 6 bits; 8-bit scales. Block: low[128], high[64], scales[16], scale. */
export function dequantizeQ6K(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  const signed = new Int8Array(bytes.buffer, bytes.byteOffset, bytes.length);
  for (let at = 0, to = 0; at < bytes.length; at += 210, to += 256) {
    const scale = half[u16(bytes, at + 208)];
    for (let group = 0; group < 16; group++) {
      const factor = Math.fround(scale * signed[at + 192 + group]);
      // within each half of 128 values: four quarters of 32; quarters 2 and 3 use the upper four bits
      const quarter = (group & 7) >> 1;
      const lane = 16 * (group & 1);
      const low = at + 64 * (group >> 3) + 32 * (quarter & 1) + lane;
      const high = at + 128 + 32 * (group >> 3) + lane;
      for (let i = 0; i < 16; i++) {
        const code = ((bytes[low + i] >> (quarter < 2 ? 0 : 4)) & 15) | (((bytes[high + i] >> (2 * quarter)) & 3) << 4);
        out[to + 16 * group + i] = factor * (code - 32);
      }
    }
  }
}
