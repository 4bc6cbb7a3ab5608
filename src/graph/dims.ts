// Arithmetic on sizes that may be symbols: products, equality, broadcasting.
import { CupelError } from '../base/errors.ts';
import type { Dim, Shape, Value } from './node.ts';

/** The product of sizes in one canonical spelling, e.g. `3*B*S`. */
export function timesDims(...dims: readonly Dim[]): Dim {
  let factor = 1;
  const symbols: string[] = [];
  for (const part of dims.flatMap((dim): readonly Dim[] => (typeof dim === 'number' ? [dim] : dim.split('*')))) {
    const number = Number(part);
    if (Number.isNaN(number)) symbols.push(part as string);
    else factor *= number;
  }
  if (symbols.length === 0 || factor === 0) return factor;
  return [...(factor === 1 ? [] : [factor]), ...symbols.sort()].join('*');
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dim, i) => dim === b[i]);
}

/** e.g. `[B,S,576]` */
export function showShape(shape: Shape): string {
  return `[${shape.join(',')}]`;
}

/** The shape of an element-wise result. @throws CupelError when the shapes do not broadcast */
export function broadcastShapes(a: Shape, b: Shape): Shape {
  const rank = Math.max(a.length, b.length);
  return Array.from({ length: rank }, (_, i) => {
    const left = a[a.length - rank + i] ?? 1;
    const right = b[b.length - rank + i] ?? 1;
    if (left === right || right === 1) return left;
    if (left === 1) return right;
    throw new CupelError(`shapes ${showShape(a)} and ${showShape(b)} do not broadcast`);
  });
}

/** A negative axis counts from the end. @throws CupelError when out of range */
export function axisOf(axis: number, rank: number): number {
  const positive = axis < 0 ? axis + rank : axis;
  if (positive < 0 || positive >= rank) throw new CupelError(`axis ${axis} of a tensor of rank ${rank}`);
  return positive;
}

/** @throws CupelError when a condition on an op's inputs fails, showing them */
export function require(condition: boolean, op: string, inputs: readonly Value[], expected: string): void {
  if (condition) return;
  const shown = inputs.map((x) => `${x.name} ${x.dtype}${showShape(x.shape)}`).join(', ');
  throw new CupelError(`${op}(${shown}): expected ${expected}`);
}

/** The size of an axis that must be a plain number. */
export function fixed(value: Value, axis: number): number {
  const dim = value.shape[axisOf(axis, value.shape.length)];
  if (typeof dim === 'number') return dim;
  throw new CupelError(`${value.name}${showShape(value.shape)}: axis ${axis} must have a fixed size`);
}
