// Writes safetensors files, one tensor in memory at a time.
import { writeDurably } from '../base/durable.ts';
import { floatToBfloat, floatToHalf } from './half.ts';
import { DTYPE_BYTES } from './safetensors.ts';

export type WritableDtype = 'F32' | 'F16' | 'BF16';

export interface TensorToWrite {
  name: string;
  dtype: WritableDtype;
  shape: readonly number[];
  /** Called once, when its turn comes. */
  read: () => Float32Array;
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
    for (const tensor of tensors) write(encodeFloats(tensor.read(), tensor.dtype));
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
