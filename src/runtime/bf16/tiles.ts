// Matrices as products take them: tiles, made by what makes the matrix where it can, else from it.
import { CupelError } from '../../base/errors.ts';
import { sizeOf } from '../../graph/tensor.ts';
import type { Buffer } from './memory.ts';
import { BLOCK_ROWS, type Fields, type KernelName, NARROW, type Place, SCRATCH, type TapeOp } from './tape.ts';
import { isAll, isMatrix, joined, placeOf, transposed, type View } from './view.ts';

/** Bytes of a tile, of 16 rows of 32 numbers in bfloat16 or 64 in int8. */
const TILE_BYTES = 1024;
/** The longest rows in int8. */
export const NARROW_MOST = NARROW / (16 * 4);
/** The longest rows that kernels keep blocks of, two at most, before they make tiles of them. */
const WIDEST = (SCRATCH - NARROW) / (2 * BLOCK_ROWS * 4);

/** An op whose result a matrix [rows, width] can become tiles at once. */
interface Maker {
  readonly op: TapeOp;
  readonly rows: number;
  readonly width: number;
  /** Of the four forms among the op's fields. */
  readonly forms: number;
  /** Of the result itself, and of whether it is kept; null where the op makes tiles alone. */
  readonly result: { readonly place: number; readonly kept: number } | null;
  /** Of the left side over the width in int8. */
  readonly narrow: number;
}

/** The tape that tiles are made on. */
interface Tape {
  add(kernel: KernelName, items: number, fields: Fields): TapeOp;
  dense(view: View): View;
  once(what: string, view: View, make: () => Place): Place;
}

export class Tiles {
  readonly #tape: Tape;
  readonly #makers = new Map<Buffer, Maker>();

  constructor(tape: Tape) {
    this.#tape = tape;
  }

  /** Tells that an op can make tiles of its result, and leaves it out where nobody reads it but as tiles. */
  makes(view: View, op: TapeOp, width: number, at: Pick<Maker, 'forms' | 'result' | 'narrow'>): void {
    if (at.result && width > WIDEST)
      throw new CupelError(`rows of ${width} numbers are longer than Cupel's own kernels hold (${WIDEST})`, {
        remedy: 'use another --engine',
      });
    if (at.result) op.fields = { ...op.fields, [at.result.kept]: true };
    this.#makers.set(view.buffer, { op, rows: sizeOf(view.shape) / width, width, ...at });
  }

  /** Leaves out results that are only there to be written. */
  leaveOut(isUnread: (buffer: Buffer) => boolean): void {
    for (const [buffer, { op, result }] of this.#makers) {
      if (!result || buffer.slot !== null || !isUnread(buffer)) continue;
      const { [result.place]: _, ...rest } = op.fields;
      op.fields = { ...rest, [result.kept]: false };
    }
  }

  /** Tiles of the matrices [..,R,K] over K, for the left or the right side of a product; made once for all products with them. */
  of(view: View, right: boolean, narrow = false): Place {
    return this.#tape.once(`${right ? 'right' : 'left'}${narrow ? ' in int8' : ''}`, view, () => ({
      buffer:
        this.#tilesAtOnce(view, right, narrow) ?? (narrow ? this.#packNarrow(view, right) : this.#pack(view, right)),
      offset: 0,
    }));
  }

  /** By what makes the matrix, if it can. */
  #tilesAtOnce(view: View, right: boolean, narrow = false): Buffer | undefined {
    const maker = this.#makers.get(view.buffer);
    if (!maker || view.shape.length !== 2 || view.start !== 0) return undefined;
    const { op, rows, width, forms } = maker;
    const [overWidth, overRows] = [isMatrix(view, rows, width), isMatrix(transposed(view), rows, width)];
    if (narrow ? !overWidth || right : !overWidth && !overRows) return undefined;
    const form = narrow ? maker.narrow : forms + (overWidth ? 0 : 6) + (right ? 3 : 0);
    const [R, K] = view.shape;
    const buffer = narrow
      ? narrowTiles(R, K)
      : { bytes: Math.ceil(R / 16) * Math.ceil(K / 32) * TILE_BYTES, slot: null };
    op.fields = { ...op.fields, [form]: true, [form + 1]: { buffer, offset: 0 } };
    return buffer;
  }

  /** A matrix in int8; the left side needs rows that lie together. */
  #packNarrow(given: View, right: boolean): Buffer {
    const [R, K] = given.shape;
    const lies = (view: View) => view.strides[1] === 1 || (right && view.strides[0] === 1);
    const view = lies(given) ? given : this.#tape.dense(given);
    const [sR, sK] = view.strides;
    const buffer = narrowTiles(R, K);
    const fields = { 2: right, 3: { buffer, offset: 0 }, 5: placeOf(view), 7: R, 8: K, 9: sR, 10: sK };
    this.#tape.add('packNarrow', Math.ceil(R / (sK === 1 ? 16 : 64)), fields);
    return buffer;
  }

  #pack(view: View, right: boolean): Buffer {
    const [R, K] = view.shape.slice(-2);
    const [rows, width] = view.strides.at(-1) === 1 ? [R, K] : [K, R];
    const lying = view.strides.at(-1) === 1 ? view : transposed(view);
    // what is given is read again where its next form is needed: tiles that wait from the forward pass on cost more
    const lives = view.buffer.slot === null;
    if (lives && view.shape.length === 2 && isAll(view) && isMatrix(lying, rows, width)) {
      // all forms of it are made where the first is: it is read once
      const op = this.#tape.add('tiles', Math.ceil(rows / BLOCK_ROWS), { 5: placeOf(view), 7: rows, 8: width });
      this.makes(view, op, width, { forms: 10, result: null, narrow: 22 });
      return this.#tilesAtOnce(view, right)!;
    }
    const [sR, sK] = view.strides.slice(-2);
    const lead = joined(view.shape.slice(0, -2), view.strides.slice(0, -2));
    if (lead.shape.length > 2) return this.#pack(this.#tape.dense(view), right);
    const batches = sizeOf(lead.shape);
    const [down, across] = [Math.ceil(R / 16), Math.ceil(K / 32)];
    const buffer: Buffer = { bytes: batches * down * across * TILE_BYTES, slot: null };
    const [outer, inner] = lead.shape.length === 2 ? [0, 1] : [-1, 0];
    this.#tape.add('pack', batches * (sR === 1 ? across : down), {
      2: right,
      3: { buffer, offset: 0 },
      5: placeOf(view),
      7: R,
      8: K,
      9: sR,
      10: sK,
      11: lead.shape[outer] ?? 1,
      12: lead.shape[inner],
      13: lead.strides[0][outer] ?? 0,
      14: lead.strides[0][inner],
    });
    return buffer;
  }
}

/** Memory for a matrix [R,K] in int8, and behind it what each row's levels stand for. */
function narrowTiles(R: number, K: number): Buffer {
  const down = Math.ceil(R / 16);
  return { bytes: down * Math.ceil(K / 64) * TILE_BYTES + 64 * down, slot: null };
}
