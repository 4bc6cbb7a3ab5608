// Reads safetensors files: the header at once, tensors when asked for, as float32 or as raw bytes.
import { dequantize } from './dequantize.ts';
import { FileReader } from './file-reader.ts';

/** Bytes per element of the types the format knows. */
export const DTYPE_BYTES = {
  F64: 8,
  F32: 4,
  F16: 2,
  BF16: 2,
  I64: 8,
  I32: 4,
  I16: 2,
  I8: 1,
  U64: 8,
  U32: 4,
  U16: 2,
  U8: 1,
  BOOL: 1,
  F8_E4M3: 1,
  F8_E5M2: 1,
} as const;
export type Dtype = keyof typeof DTYPE_BYTES;

export interface SafetensorsEntry {
  dtype: Dtype;
  shape: number[];
  /** Where the data begins in the file. */
  offset: number;
  bytes: number;
}

export interface Safetensors {
  path: string;
  entries: Map<string, SafetensorsEntry>;
  /** The strings under `__metadata__`. */
  metadata: Record<string, string>;
  readRaw(name: string): Uint8Array<ArrayBuffer>;
  /** As float32. @throws CupelError for integers and 8-bit floats */
  read(name: string): Float32Array;
  /** Rows `[from, from + count)` along the first dimension, as float32. */
  readRows(name: string, from: number, count: number): Float32Array;
  close(): void;
}

/** The reference implementation's limit on headers. */
const LONGEST_HEADER = 100_000_000;
const MOST_DIMENSIONS = 16;

/** @throws CupelError for a file that is none, damaged, or whose tensors overlap or leave the file */
export function openSafetensors(path: string): Safetensors {
  const file = new FileReader(path);
  try {
    return parse(file);
  } catch (error) {
    file.close();
    throw error;
  }
}

function parse(file: FileReader): Safetensors {
  const length = file.take(8, 'header length').readBigUInt64LE();
  if (length > BigInt(Math.min(LONGEST_HEADER, file.remaining))) {
    file.fail(`a header of ${length} bytes does not fit: not a safetensors file, or cut short`, 'header length');
  }
  const header = parseHeader(file, file.take(Number(length), 'header').toString('utf8'));
  const start = file.position;
  const entries = new Map<string, SafetensorsEntry>();
  for (const [name, value] of Object.entries(header)) {
    if (name !== '__metadata__') entries.set(name, parseEntry(file, name, value, start));
  }
  checkLayout(file, entries, start);
  const entryOf = (name: string) => entries.get(name) ?? file.fail('there is no such tensor', name);
  const readRaw = (name: string) => {
    const entry = entryOf(name);
    return file.read(entry.offset, entry.bytes);
  };
  return {
    path: file.path,
    entries,
    metadata: stringsOf(header.__metadata__),
    readRaw,
    read: (name) => toFloats(file, name, entryOf(name).dtype, readRaw(name)),
    readRows(name, from, count) {
      const { dtype, shape, offset, bytes } = entryOf(name);
      if (!(from >= 0 && count >= 0 && from + count <= shape[0]))
        file.fail(`has no rows ${from} to ${from + count}`, name);
      const row = bytes / shape[0];
      return toFloats(file, name, dtype, file.read(offset + from * row, count * row));
    },
    close: () => file.close(),
  };
}

function parseHeader(file: FileReader, text: string): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(text);
  } catch (error) {
    file.fail(`the header is not JSON: ${(error as Error).message.slice(0, 200)}`, 'header');
  }
  if (!isObject(header)) file.fail('the header is not a JSON object', 'header');
  return header;
}

function parseEntry(file: FileReader, name: string, value: unknown, start: number): SafetensorsEntry {
  if (!isObject(value)) file.fail('its entry in the header is not an object', name);
  const { dtype, shape, data_offsets: range } = value;
  if (typeof dtype !== 'string' || !Object.hasOwn(DTYPE_BYTES, dtype)) file.fail(`type ${dtype} is not known`, name);
  if (!isCounts(shape) || shape.length > MOST_DIMENSIONS) file.fail('its shape is not a list of sizes', name);
  if (!isCounts(range) || range.length !== 2 || range[0] > range[1]) file.fail('its data_offsets are no range', name);
  const [from, to] = range;
  const expected = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype as Dtype]);
  if (to - from !== expected) file.fail(`${to - from} bytes of data for a shape that needs ${expected}`, name);
  if (start + to > file.size) file.fail('its data lies beyond the end of the file', name);
  return { dtype: dtype as Dtype, shape, offset: start + from, bytes: to - from };
}

function checkLayout(file: FileReader, entries: Map<string, SafetensorsEntry>, start: number): void {
  let end = start;
  for (const [name, entry] of [...entries].sort(([, a], [, b]) => a.offset - b.offset || a.bytes - b.bytes)) {
    if (entry.offset < end) file.fail('its data overlaps that of another tensor', name);
    end = entry.offset + entry.bytes;
  }
}

function toFloats(file: FileReader, name: string, dtype: Dtype, bytes: Uint8Array<ArrayBuffer>): Float32Array {
  if (dtype === 'F32') return new Float32Array(bytes.buffer);
  if (dtype === 'F64') return Float32Array.from(new Float64Array(bytes.buffer));
  if (dtype === 'F16' || dtype === 'BF16') return dequantize(dtype, bytes);
  file.fail(`tensors of type ${dtype} cannot be read as weights`, name);
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);

const isCounts = (value: unknown): value is number[] =>
  Array.isArray(value) && value.every((item) => Number.isSafeInteger(item) && item >= 0);

function stringsOf(value: unknown): Record<string, string> {
  if (!isObject(value)) return {};
  return Object.fromEntries(
    Object.entries(value).filter((entry): entry is [string, string] => typeof entry[1] === 'string'),
  );
}
