// Rows of a Parquet file as plain JSON values, a group of rows at a time.
import { brotliDecompressSync, gunzipSync } from 'node:zlib';
import { CupelError } from '../../base/errors.ts';
import type { Json } from './convert.ts';

const ROWS = 2000;

/** Node's own are faster than those of the package that has all the others. */
const OWN = {
  GZIP: (bytes: Uint8Array) => new Uint8Array(gunzipSync(bytes)),
  BROTLI: (bytes: Uint8Array) => new Uint8Array(brotliDecompressSync(bytes)),
};

/** @throws CupelError when the file is damaged or compressed in a way that cannot be read */
export async function* parquetRows(file: string): AsyncGenerator<Json> {
  const [{ asyncBufferFromFile, parquetMetadataAsync, parquetReadObjects }, others] = await Promise.all([
    import('hyparquet'),
    import('hyparquet-compressors'),
  ]);
  const compressors = { ...others.compressors, ...OWN };
  try {
    const buffer = await asyncBufferFromFile(file);
    const metadata = await parquetMetadataAsync(buffer);
    const total = Number(metadata.num_rows);
    for (let rowStart = 0; rowStart < total; rowStart += ROWS) {
      const rowEnd = Math.min(rowStart + ROWS, total);
      const rows = await parquetReadObjects({ file: buffer, metadata, rowStart, rowEnd, compressors });
      for (const row of rows) yield plain(row) as Json;
    }
  } catch (cause) {
    throw new CupelError(`the Parquet file cannot be read: ${(cause as Error).message}`, {
      place: { file },
      remedy: 'write it again with zstd, snappy, gzip, brotli, lz4 or no compression',
      exitCode: 2,
      cause,
    });
  }
}

/** 64-bit integers become numbers (tokens and times fit), dates text, typed arrays lists. */
function plain(value: unknown): unknown {
  if (typeof value === 'bigint') return Number(value);
  if (value instanceof Date) return value.toISOString();
  if (ArrayBuffer.isView(value)) return [...(value as unknown as Iterable<unknown>)].map(plain);
  if (Array.isArray(value)) return value.map(plain);
  if (value === null || typeof value !== 'object') return value;
  return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
}
