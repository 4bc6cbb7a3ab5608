// Writes GGUF version 3 files, at most one tensor (or a piece of one) in memory at a time.
import { writeDurably } from '../base/durable.ts';
import { GGML_TYPES, type GgmlTypeName, ggmlBytes } from './ggml-types.ts';
import { type GgufEntry, type GgufMetadata, type GgufScalar, type GgufScalarType, SCALARS } from './gguf-metadata.ts';

const MAGIC = 0x46554747;
const VERSION = 3;
const ALIGNMENT = 32;

export interface GgufTensorToWrite {
  name: string;
  type: GgmlTypeName;
  /** Row-major, slowest dimension first. */
  shape: readonly number[];
  /** The bytes in `type`, whole or piece by piece; called once, when its turn comes. */
  read: () => Uint8Array | Iterable<Uint8Array>;
}

/** @throws CupelError when the disk is full; nothing is left under `path` then */
export function writeGguf(path: string, metadata: GgufMetadata, tensors: readonly GgufTensorToWrite[]): void {
  const entries = [...metadata].filter(([key]) => key !== 'general.alignment');
  const head = [u32(MAGIC), u32(VERSION), u64(tensors.length), u64(entries.length)];
  for (const [key, entry] of entries) head.push(text(key), entryBytes(entry));
  let offset = 0;
  for (const { name, type, shape } of tensors) {
    head.push(text(name), u32(shape.length), ...shape.toReversed().map(u64), u32(GGML_TYPES[type].id), u64(offset));
    offset = aligned(offset + sizeOf(type, shape));
  }
  const header = Buffer.concat(head);
  writeDurably(path, (write) => {
    write(header);
    write(padding(header.length));
    for (const { name, type, shape, read } of tensors) {
      const size = sizeOf(type, shape);
      const bytes = read();
      let written = 0;
      for (const piece of bytes instanceof Uint8Array ? [bytes] : bytes) {
        write(piece);
        written += piece.length;
      }
      if (written !== size) throw new Error(`tensor ${name} has ${written} bytes, not ${size}`);
      write(padding(size));
    }
  });
}

function sizeOf(type: GgmlTypeName, shape: readonly number[]): number {
  return ggmlBytes(
    type,
    shape.reduce((product, size) => product * size, 1),
  );
}

const aligned = (size: number) => Math.ceil(size / ALIGNMENT) * ALIGNMENT;
const padding = (size: number) => new Uint8Array(aligned(size) - size);

function entryBytes(entry: GgufEntry): Buffer {
  const type = u32(SCALARS.indexOf(entry.type));
  if (entry.type !== 'array') return Buffer.concat([type, scalar(entry.type, entry.value)]);
  const items = entry.value.map((value) => scalar(entry.items, value));
  return Buffer.concat([type, u32(SCALARS.indexOf(entry.items)), u64(items.length)].concat(items));
}

function scalar(type: GgufScalarType, value: GgufScalar): Buffer {
  if (type === 'string') return text(String(value));
  const buffer = Buffer.alloc(
    { u8: 1, i8: 1, bool: 1, u16: 2, i16: 2, u32: 4, i32: 4, f32: 4, u64: 8, i64: 8, f64: 8 }[type],
  );
  const number = Number(value);
  if (type === 'u64') buffer.writeBigUInt64LE(BigInt(value as bigint | number));
  else if (type === 'i64') buffer.writeBigInt64LE(BigInt(value as bigint | number));
  else if (type === 'f32') buffer.writeFloatLE(number);
  else if (type === 'f64') buffer.writeDoubleLE(number);
  else if (type === 'i8' || type === 'i16' || type === 'i32') buffer.writeIntLE(number, 0, buffer.length);
  else buffer.writeUIntLE(number, 0, buffer.length);
  return buffer;
}

function u32(value: number): Buffer {
  const buffer = Buffer.alloc(4);
  buffer.writeUInt32LE(value);
  return buffer;
}

function u64(value: number): Buffer {
  const buffer = Buffer.alloc(8);
  buffer.writeBigUInt64LE(BigInt(value));
  return buffer;
}

function text(value: string): Buffer {
  const bytes = Buffer.from(value, 'utf8');
  return Buffer.concat([u64(bytes.length), bytes]);
}
