// Writes safetensors files, at most one tensor (or a piece of one) in memory at a time.
import { writeDurably } from '../base/durable.ts';
import { floatToBfloat, floatToHalf } from './half.ts';
import { DTYPE_BYTES } from './safetensors.ts';

export type WritableDtype = 'F32' | 'F16' | 'BF16';

export interface TensorToWrite {
  name: string;
  dtype: WritableDtype;
  shape: readonly number[];
  /** The values, whole or piece by piece; called once, when its turn comes. */
  read: () => Float32Array | Iterable<Float32Array>;
}

/**
 * @param metadata strings for `__metadata__`; transformers wants `{ format: 'pt' }`
 * @throws CupelError when the disk is full
 */
export function writeSafetensors(
  path: string,
  tensors: readonly TensorToWrite[],
  metadata: Record<string, string> = { format: 'pt' },
): void {
  const header: Record<string, unknown> = { __metadata__: metadata };
  let end = 0;
  for (const { name, dtype, shape } of tensors) {
    const bytes = shape.reduce((product, size) => product * size, DTYPE_BYTES[dtype]);
    header[name] = { dtype, shape, data_offsets: [end, end + bytes] };
    end += bytes;
  }
  const json = Buffer.from(JSON.stringify(header));
  // padded with spaces so that the data begins aligned
  const padded = Buffer.alloc(Math.ceil(json.length / 8) * 8, ' ');
  json.copy(padded);
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(padded.length));
  writeDurably(path, (write) => {
    write(length);
    write(padded);
    for (const { dtype, read } of tensors) {
      const values = read();
      for (const piece of values instanceof Float32Array ? [values] : values) write(encodeFloats(piece, dtype));
    }
  });
}

/** float32 values as bytes of a floating-point type, rounded to nearest even. */
export function encodeFloats(values: Float32Array, dtype: WritableDtype): Uint8Array {
  if (dtype === 'F32') return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  const convert = dtype === 'F16' ? floatToHalf : floatToBfloat;
  const halves = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) halves[i] = convert(values[i]);
  return new Uint8Array(halves.buffer);
}
