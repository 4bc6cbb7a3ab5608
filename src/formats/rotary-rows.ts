// Order of rows in query and key projections: Hugging Face keeps the two halves of a head apart, llama.cpp interleaves them.

/** GGUF order to Hugging Face order. `values` is row-major [rows, …]; `rows` is heads times head size. */
export function rowsFromInterleaved(values: Float32Array, rows: number, heads: number): Float32Array {
  return reorder(values, rows, heads, (half, pair, size) => [half * (size / 2) + pair, 2 * pair + half]);
}

/** Hugging Face order to GGUF order. */
export function rowsToInterleaved(values: Float32Array, rows: number, heads: number): Float32Array {
  return reorder(values, rows, heads, (half, pair, size) => [2 * pair + half, half * (size / 2) + pair]);
}

/** @param place for half 0 or 1 and the pair's index: the row to write, and the row to read, within a head */
function reorder(
  values: Float32Array,
  rows: number,
  heads: number,
  place: (half: number, pair: number, size: number) => [to: number, from: number],
): Float32Array {
  const out = new Float32Array(values.length);
  const width = values.length / rows;
  const size = rows / heads;
  for (let head = 0; head < heads; head++) {
    for (let pair = 0; pair < size / 2; pair++) {
      for (const half of [0, 1]) {
        const [to, from] = place(half, pair, size).map((row) => (head * size + row) * width);
        out.set(values.subarray(from, from + width), to);
      }
    }
  }
  return out;
}
