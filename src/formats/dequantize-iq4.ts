// The 4-bit formats of ggml whose codes stand for a fixed uneven grid of values (IQ4_NL, IQ4_XS).
import { halfTable, u16 } from './half.ts';

/** The grid: denser near zero, where weights are. */
const GRID = Int8Array.of(-127, -104, -83, -65, -49, -35, -22, -10, 1, 13, 25, 38, 53, 69, 89, 113);

export function dequantizeIq4Nl(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 18, to += 32) {
    decode(bytes, at + 2, half[u16(bytes, at)], out, to);
  }
}

/** Blocks of 256: eight groups with a 6-bit scale each. */
export function dequantizeIq4Xs(bytes: Uint8Array, out: Float32Array): void {
  const half = halfTable();
  for (let at = 0, to = 0; at < bytes.length; at += 136, to += 256) {
    const scale = half[u16(bytes, at)];
    const high = u16(bytes, at + 2);
    for (let group = 0; group < 8; group++) {
      const low = (bytes[at + 4 + (group >> 1)] >> (4 * (group & 1))) & 15;
      const factor = (low | (((high >> (2 * group)) & 3) << 4)) - 32;
      decode(bytes, at + 8 + 16 * group, Math.fround(scale * factor), out, to + 32 * group);
    }
  }
}

function decode(bytes: Uint8Array, from: number, scale: number, out: Float32Array, to: number): void {
  for (let i = 0; i < 16; i++) {
    out[to + i] = scale * GRID[bytes[from + i] & 15];
    out[to + 16 + i] = scale * GRID[bytes[from + i] >> 4];
  }
}
