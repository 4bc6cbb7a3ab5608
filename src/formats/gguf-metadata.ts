// GGUF metadata: typed values under string keys, decoded with limits so that a hostile file cannot exhaust memory.
import type { FileReader } from './file-reader.ts';

/** Scalar types by their number in the file. */
export const SCALARS = [
  'u8',
  'i8',
  'u16',
  'i16',
  'u32',
  'i32',
  'f32',
  'bool',
  'string',
  'array',
  'u64',
  'i64',
  'f64',
] as const;
export type GgufType = (typeof SCALARS)[number];
export type GgufScalarType = Exclude<GgufType, 'array'>;
export type GgufScalar = number | bigint | boolean | string;

/** One value. 64-bit integers are numbers where those are exact, else bigint. Arrays hold scalars of type `items`. */
export type GgufEntry =
  | { type: GgufScalarType; value: GgufScalar }
  | { type: 'array'; items: GgufScalarType; value: readonly GgufScalar[] };

export type GgufMetadata = Map<string, GgufEntry>;

const LONGEST_KEY = 65_535;
const LONGEST_STRING = 1 << 26;
/** Fewest bytes an item of an array takes in the file: bounds the count before anything is allocated. */
const ITEM_BYTES: Record<GgufScalarType, number> = {
  u8: 1,
  i8: 1,
  u16: 2,
  i16: 2,
  u32: 4,
  i32: 4,
  f32: 4,
  bool: 1,
  string: 8,
  u64: 8,
  i64: 8,
  f64: 8,
};
/** Arrays of bytes and flags expand eightfold in memory, so their count has a limit of its own. */
const MOST_ITEMS = 1 << 24;

/** Reads `count` key-value pairs. @throws CupelError naming the key at fault */
export function readMetadata(file: FileReader, count: number): GgufMetadata {
  const metadata: GgufMetadata = new Map();
  for (let i = 0; i < count; i++) {
    const key = readString(file, `key ${i + 1} of ${count}`, LONGEST_KEY);
    if (metadata.has(key)) file.fail('the key occurs twice', key);
    metadata.set(key, readEntry(file, key));
  }
  return metadata;
}

/** A UTF-8 string with its 64-bit length before it. */
export function readString(file: FileReader, field: string, longest = LONGEST_STRING): string {
  const length = readCount(file, field);
  if (length > longest) file.fail(`a string of ${length} bytes is over the limit of ${longest}`, field);
  return file.take(length, field).toString('utf8');
}

/** An unsigned 64-bit count that must fit a double exactly. */
export function readCount(file: FileReader, field: string): number {
  const value = file.take(8, field).readBigUInt64LE();
  if (value > BigInt(Number.MAX_SAFE_INTEGER)) file.fail(`${value} is an absurd count`, field);
  return Number(value);
}

function readEntry(file: FileReader, key: string): GgufEntry {
  const type = readType(file, key);
  if (type !== 'array') return { type, value: readScalar(file, type, key) };
  const items = readType(file, key);
  if (items === 'array') file.fail('arrays of arrays are not supported', key);
  const count = readCount(file, key);
  if (count > MOST_ITEMS || count * ITEM_BYTES[items] > file.remaining) {
    file.fail(`an array of ${count} items does not fit the file`, key);
  }
  const value: GgufScalar[] = [];
  for (let i = 0; i < count; i++) value.push(readScalar(file, items, key));
  return { type: 'array', items, value };
}

function readType(file: FileReader, key: string): GgufType {
  const id = file.take(4, key).readUInt32LE();
  return SCALARS[id] ?? file.fail(`${id} is no type of GGUF metadata`, key);
}

const exact = (value: bigint): number | bigint =>
  value <= BigInt(Number.MAX_SAFE_INTEGER) && value >= -BigInt(Number.MAX_SAFE_INTEGER) ? Number(value) : value;

function readScalar(file: FileReader, type: GgufScalarType, key: string): GgufScalar {
  if (type === 'string') return readString(file, key);
  const bytes = file.take(ITEM_BYTES[type], key);
  switch (type) {
    case 'u8':
      return bytes.readUInt8();
    case 'i8':
      return bytes.readInt8();
    case 'u16':
      return bytes.readUInt16LE();
    case 'i16':
      return bytes.readInt16LE();
    case 'u32':
      return bytes.readUInt32LE();
    case 'i32':
      return bytes.readInt32LE();
    case 'f32':
      return bytes.readFloatLE();
    case 'f64':
      return bytes.readDoubleLE();
    case 'bool':
      return bytes.readUInt8() !== 0;
    case 'u64':
      return exact(bytes.readBigUInt64LE());
    case 'i64':
      return exact(bytes.readBigInt64LE());
  }
}
