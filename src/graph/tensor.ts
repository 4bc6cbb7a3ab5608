// Tensors with data: what goes into a runtime and comes out of it.
import type { DType, TensorData } from './node.ts';

export interface Tensor {
  readonly dtype: DType;
  readonly shape: readonly number[];
  readonly data: TensorData;
}

/** A tensor of any dtype as the reference implementations see it. */
export interface Doubles {
  readonly shape: readonly number[];
  readonly data: Float64Array;
}

const ARRAYS = {
  float32: Float32Array,
  int4: Int8Array,
  int8: Int8Array,
  uint8: Uint8Array,
  int32: Int32Array,
  int64: BigInt64Array,
  bool: Uint8Array,
} as const;

/** Bytes of one element. */
export function bytesOf(dtype: DType): number {
  return dtype === 'int4' ? 0.5 : ARRAYS[dtype].BYTES_PER_ELEMENT;
}

/** The number of elements of a shape. */
export function sizeOf(shape: readonly number[]): number {
  return shape.reduce((product, dim) => product * dim, 1);
}

/** The bytes that a runtime reads: two entries of int4 in each, the first in the lower half. */
export function rawBytes(dtype: DType, data: TensorData): Uint8Array {
  if (dtype !== 'int4') return new Uint8Array(data.buffer, data.byteOffset, data.byteLength);
  const values = data as Int8Array;
  return Uint8Array.from(
    { length: Math.ceil(values.length / 2) },
    (_, i) => (values[2 * i] & 15) | (((values[2 * i + 1] ?? 0) & 15) << 4),
  );
}

/** A tensor of zeros. */
export function zeros(dtype: DType, shape: readonly number[]): Tensor {
  return { dtype, shape, data: new ARRAYS[dtype](sizeOf(shape)) };
}

/** A float32 tensor; data that is a Float32Array is not copied. */
export function float32(shape: readonly number[], data: ArrayLike<number>): Tensor {
  return { dtype: 'float32', shape, data: data instanceof Float32Array ? data : Float32Array.from(data) };
}

/** An int64 tensor from numbers. */
export function int64(shape: readonly number[], data: Iterable<number>): Tensor {
  return { dtype: 'int64', shape, data: BigInt64Array.from(data, BigInt) };
}

/** An int8 tensor; data that is an Int8Array is not copied. */
export function int8(shape: readonly number[], data: ArrayLike<number>): Tensor {
  return { dtype: 'int8', shape, data: data instanceof Int8Array ? data : Int8Array.from(data) };
}

/** A bool tensor, one byte an element. */
export function bool(shape: readonly number[], data: ArrayLike<boolean>): Tensor {
  return { dtype: 'bool', shape, data: Uint8Array.from(data, Number) };
}

/** The data of a float32 tensor. */
export function floats(tensor: Tensor): Float32Array {
  return tensor.data as Float32Array;
}

/** Row-major strides of a shape. */
export function stridesOf(shape: readonly number[]): number[] {
  const strides = new Array<number>(shape.length).fill(1);
  for (let axis = shape.length - 2; axis >= 0; axis--) strides[axis] = strides[axis + 1] * shape[axis + 1];
  return strides;
}

/** The same numbers in double precision (int64 beyond 2^53 would round). */
export function toDoubles(tensor: Tensor): Doubles {
  return { shape: tensor.shape, data: Float64Array.from(tensor.data as ArrayLike<number | bigint>, Number) };
}

/** Numbers rounded to a dtype. */
export function fromDoubles({ shape, data }: Doubles, dtype: DType): Tensor {
  if (dtype === 'int64') return int64(shape, data);
  return { dtype, shape, data: ARRAYS[dtype].from(data) };
}
