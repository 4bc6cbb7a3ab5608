// A tensor as it lies in a buffer: where it starts and how far apart its entries are.
import type { DType } from '../../graph/node.ts';
import { bytesOf, sizeOf, stridesOf } from '../../graph/tensor.ts';
import type { Buffer } from './memory.ts';
import type { Place } from './tape.ts';

export interface View {
  readonly dtype: DType;
  readonly buffer: Buffer;
  /** Entries from the start of the buffer. */
  readonly start: number;
  readonly shape: readonly number[];
  /** In entries; 0 where one entry stands for all. */
  readonly strides: readonly number[];
}

/** All of a buffer. */
export function wholeOf(buffer: Buffer, dtype: DType, shape: readonly number[]): View {
  return { dtype, buffer, start: 0, shape, strides: stridesOf(shape) };
}

export function placeOf({ buffer, start, dtype }: View): Place {
  return { buffer, offset: start * bytesOf(dtype) };
}

/** Whether the entries lie in order without gaps. */
export function isDense({ shape, strides }: View): boolean {
  const dense = stridesOf(shape);
  return shape.every((size, axis) => size === 1 || strides[axis] === dense[axis]) || sizeOf(shape) === 0;
}

/** The same entries under another shape, or null where they would have to move. */
export function reshaped(view: View, shape: readonly number[]): View | null {
  if (isDense(view)) return { ...view, shape, strides: stridesOf(shape) };
  const from = view.shape.map((size, axis) => ({ size, stride: view.strides[axis] })).filter(({ size }) => size !== 1);
  const strides: number[] = [];
  let axis = 0;
  let rest = 1;
  let stride = 0;
  // from the last axis: a new axis takes its part of an old one, or several old ones that lie in order
  const old = from.reverse();
  for (const size of [...shape].reverse()) {
    if (size === 1) {
      strides.push(1);
      continue;
    }
    if (rest === 1) {
      if (axis >= old.length) return null;
      ({ size: rest, stride } = old[axis++]);
    }
    while (rest < size) {
      const next = old[axis++];
      if (!next || next.stride !== rest * stride) return null;
      rest *= next.size;
    }
    if (rest % size !== 0) return null;
    strides.push(stride);
    stride *= size;
    rest /= size;
  }
  return { ...view, shape, strides: strides.reverse() };
}

export function permuted(view: View, order: readonly number[]): View {
  return { ...view, shape: order.map((axis) => view.shape[axis]), strides: order.map((axis) => view.strides[axis]) };
}

/** `size` entries of an axis. */
export function sliced(view: View, axis: number, start: number, size: number): View {
  return {
    ...view,
    start: view.start + start * view.strides[axis],
    shape: view.shape.map((old, i) => (i === axis ? size : old)),
  };
}

/** Broadcast as in NumPy. */
export function expanded(view: View, shape: readonly number[]): View {
  const missing = shape.length - view.shape.length;
  const strides = shape.map((size, axis) => {
    const own = view.shape[axis - missing] ?? 1;
    return own === 1 && size !== 1 ? 0 : (view.strides[axis - missing] ?? 0);
  });
  return { ...view, shape, strides };
}

/** Sizes and each view's strides with axes joined that lie in order in all of them, at least one axis; ones left out. */
export function joined(
  shape: readonly number[],
  ...strides: readonly (readonly number[])[]
): { shape: number[]; strides: number[][] } {
  const sizes: number[] = [];
  const steps: number[][] = strides.map(() => []);
  shape.forEach((size, axis) => {
    if (size === 1) return;
    const last = sizes.length - 1;
    const fits = last >= 0 && strides.every((own, i) => steps[i][last] === own[axis] * size);
    if (fits) {
      sizes[last] *= size;
      for (const [i, own] of strides.entries()) steps[i][last] = own[axis];
    } else {
      sizes.push(size);
      for (const [i, own] of strides.entries()) steps[i].push(own[axis]);
    }
  });
  if (sizes.length === 0) return { shape: [1], strides: strides.map(() => [1]) };
  return { shape: sizes, strides: steps };
}

/** Whether a view has every entry of its memory. */
export function isAll({ buffer, dtype, shape }: View): boolean {
  return sizeOf(shape) * bytesOf(dtype) === buffer.bytes;
}

/** Whether a matrix of so many rows and columns lies row by row. */
export function isMatrix({ shape, strides }: View, rows: number, width: number): boolean {
  return shape[0] === rows && shape[1] === width && strides[1] === 1 && strides[0] === width;
}

/** The last two axes the other way round. */
export function transposed(view: View): View {
  const turn = <T>(list: readonly T[]) => [...list.slice(0, -2), list.at(-1)!, list.at(-2)!];
  return { ...view, shape: turn(view.shape), strides: turn(view.strides) };
}
