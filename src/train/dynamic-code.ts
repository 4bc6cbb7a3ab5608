// Numbers within -1 and 1 in 8 bits: dynamic tree quantisation (Dettmers, 2016), whose steps are finer towards zero.

const EXPONENTS = 7;
/** Numbers are looked up by their sign, exponent and first 7 bits of the fraction: codes lie further apart than that. */
const CELLS = 65_536;

export interface DynamicCode {
  /** What each of the 256 codes stands for, ascending. */
  readonly values: Float32Array;
  /** What lies between a code and the next, infinity behind the last. */
  readonly bounds: Float32Array;
  /** A code not above that of any number whose float32 begins with these 16 bits. */
  readonly cells: Uint8Array;
  /** The code nearest to `x`, -1 to 1. */
  encode(x: number): number;
}

/** @param signed from -1 to 1; otherwise from 0 to 1 with twice as many steps */
export function dynamicCode(signed: boolean): DynamicCode {
  const values = codeValues(signed);
  const between = Float32Array.from(values, (value, i) => (i < 255 ? (value + values[i + 1]) / 2 : Infinity));
  const word = new Uint32Array(1);
  const number = new Float32Array(word.buffer);
  const cells = new Uint8Array(CELLS);
  for (let cell = 0; cell < CELLS; cell++) {
    // the end of the cell that is least: towards zero for positive numbers, away from it for negative ones
    word[0] = cell < CELLS / 2 ? cell << 16 : (cell << 16) | 0xffff;
    cells[cell] = search(between, Number.isNaN(number[0]) ? 0 : number[0]);
  }
  const encode = (x: number): number => {
    number[0] = x;
    let code = cells[word[0] >>> 16];
    while (number[0] > between[code]) code++;
    return code;
  };
  return { values, bounds: between, cells, encode };
}

/** In each decade down to 1e-6 the centres of so many equal parts of 0.1 to 1 times it, and 0 and 1. */
function codeValues(signed: boolean): Float32Array {
  const values = [0, 1];
  for (let i = 0; i < EXPONENTS; i++) {
    const parts = 2 ** (signed ? i : i + 1);
    for (let part = 0; part < parts; part++) {
      const value = (0.1 + (0.9 * (part + 0.5)) / parts) * 10 ** (i + 1 - EXPONENTS);
      values.push(value);
      if (signed) values.push(-value);
    }
  }
  return Float32Array.from(values).sort();
}

/** The first code whose bound is not below x. */
function search(between: Float32Array, x: number): number {
  let low = 0;
  let high = 255;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (x > between[middle]) low = middle + 1;
    else high = middle;
  }
  return low;
}

/** Numbers that share a scale: an outlier costs precision to its own block only. */
export const BLOCK = 256;

export const SIGNED = dynamicCode(true);
export const UNSIGNED = dynamicCode(false);
