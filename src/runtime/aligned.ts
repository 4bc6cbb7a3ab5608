// Arrays that native code goes through often.
import koffi from 'koffi';

const LINE_BYTES = 64;

/**
 * Zeros whose first number begins a cache line. The C library begins large arrays 16 bytes after one: a vector of 16 numbers then lies in two
 * lines, and what is written cannot go past the caches.
 */
export function alignedFloats(length: number): Float32Array {
  const all = new Float32Array(length + LINE_BYTES / 4);
  const beyond = Number(koffi.address(all) % BigInt(LINE_BYTES));
  return all.subarray((LINE_BYTES - beyond) / 4, (LINE_BYTES - beyond) / 4 + length);
}

/** A copy, see `alignedFloats`. */
export function alignedCopy(values: Float32Array): Float32Array {
  const copy = alignedFloats(values.length);
  copy.set(values);
  return copy;
}
