// Reads a fixture that a script of this folder made: tensors by name and the model's config, in one safetensors file.
import { readFileSync } from 'node:fs';
import { float32, int64, type Tensor } from '../../src/graph/tensor.ts';

export interface Fixture {
  readonly config: unknown;
  readonly tensors: ReadonlyMap<string, Tensor>;
}

type Header = Record<string, { dtype: string; shape: number[]; data_offsets: [number, number] }>;

export function readFixture(name: string): Fixture {
  const file = readFileSync(new URL(`./fixtures/${name}.safetensors`, import.meta.url));
  const headerEnd = 8 + Number(file.readBigUInt64LE(0));
  const { __metadata__, ...header } = JSON.parse(file.subarray(8, headerEnd).toString());
  const tensors = Object.entries(header as Header).map(
    ([
      key,
      {
        dtype,
        shape,
        data_offsets: [from, to],
      },
    ]) => {
      const bytes = new Uint8Array(file.subarray(headerEnd + from, headerEnd + to));
      return [key, toTensor(dtype, shape, bytes.buffer)] as const;
    },
  );
  return { config: JSON.parse(__metadata__.config), tensors: new Map(tensors) };
}

function toTensor(dtype: string, shape: number[], buffer: ArrayBuffer): Tensor {
  if (dtype === 'F32') return float32(shape, new Float32Array(buffer));
  if (dtype === 'I64') return int64(shape, Array.from(new BigInt64Array(buffer), Number));
  throw new Error(`fixture dtype ${dtype}`);
}
