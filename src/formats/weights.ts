// Weights by their Hugging Face names, one tensor (or a few rows of it) in memory at a time.

export interface WeightSource {
  names(): Iterable<string>;
  /** Row-major shape; projections are [out, in]. @throws CupelError when there is no such tensor */
  shape(name: string): readonly number[];
  /** The whole tensor as float32. */
  read(name: string): Float32Array;
  /** Rows `[from, from + count)` along the first dimension. */
  readRows(name: string, from: number, count: number): Float32Array;
  close(): void;
}

/** A config.json as it is: keys of Hugging Face transformers. */
export type ConfigJson = Record<string, unknown>;

export const elementsOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
