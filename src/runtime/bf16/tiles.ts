// Matrices as products take them: tiles, made by what makes the matrix where it can, else from it.
import { CupelError } from '../../base/errors.ts';
import { sizeOf } from '../../graph/tensor.ts';
import type { Buffer } from './memory.ts';
import { type Fields, ITEM_ROWS, type KernelName, NARROW, type Place, SCRATCH, type TapeOp } from './tape.ts';
import { isAll, isMatrix, joined, placeOf, transposed, type View } from './view.ts';

/** Bytes of a tile, of 16 rows of 32 numbers in bfloat16 or 64 in int8. */
const TILE_BYTES = 1024;
/** The longest rows in int8. */
export const NARROW_MOST = NARROW / (16 * 4);
/** Rows of a block that kernels make tiles of: those of a tile over the rows, in bfloat16 or in int8. */
const BLOCK_ROWS = { bf16: 32, int8: 64 };

/**
 * What tiles hold, in the order that products know: numbers in bfloat16, in int8 with a scale for each row, or with a scale for each 64 numbers of
 * a row, which serve as either side.
 */
const FORMATS = ['bf16', 'int8', 'int8 blocks'] as const;
export type Format = (typeof FORMATS)[number];

/** As the kernel of products is told. */
export function formatNumber(format: Format): number {
  return FORMATS.indexOf(format);
}

/** An op whose result a matrix [rows, width] can become tiles at once. */
interface Maker {
  readonly op: TapeOp;
  readonly rows: number;
  readonly width: number;
  /** Of the four forms among the op's fields. */
  readonly forms: number;
  /** Of the result itself, and of whether it is kept; null where the op makes tiles alone. */
  readonly result: { readonly place: number; readonly kept: number } | null;
  /** Of the left side over the width in int8; behind it of either side over the rows. */
  readonly narrow: number;
  /** Of either side over the width in int8, by blocks, where the op makes that. */
  readonly along?: number;
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
  readonly #blockRows: number;

  /** @param blocks whether tiles over the rows may be asked for in int8 */
  constructor(tape: Tape, blocks: boolean) {
    this.#tape = tape;
    this.#blockRows = blocks ? BLOCK_ROWS.int8 : BLOCK_ROWS.bf16;
  }

  /** Puts a kernel on the tape that makes blocks of rows. @throws CupelError where its memory does not hold them */
  blocks(kernel: KernelName, rows: number, fields: Fields): TapeOp {
    return this.#tape.add(kernel, Math.ceil(rows / this.#blockRows), { ...fields, [ITEM_ROWS]: this.#blockRows });
  }

  /** Tells that an op can make tiles of its result, and leaves it out where nobody reads it but as tiles. */
  makes(view: View, op: TapeOp, width: number, at: Pick<Maker, 'forms' | 'result' | 'narrow' | 'along'>): void {
    // two blocks at most
    const widest = (SCRATCH - NARROW) / (2 * this.#blockRows * 4);
    if (at.result && width > widest)
      throw new CupelError(`rows of ${width} numbers are longer than Cupel's own kernels hold (${widest})`, {
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
  of(view: View, right: boolean, format: Format = 'bf16'): Place {
    const make = { bf16: this.#pack, int8: this.#packNarrow, 'int8 blocks': this.#packBlocks }[format];
    return this.#tape.once(
      `${format === 'int8 blocks' ? 'either' : right ? 'right' : 'left'} in ${format}`,
      view,
      () => ({
        buffer: this.#tilesAtOnce(view, right, format) ?? make.call(this, view, right),
        offset: 0,
      }),
    );
  }

  /** By what makes the matrix, if it can. */
  #tilesAtOnce(view: View, right: boolean, format: Format): Buffer | undefined {
    const maker = this.#makers.get(view.buffer);
    if (!maker || view.shape.length !== 2 || view.start !== 0) return undefined;
    const { op, rows, width, forms, narrow, along } = maker;
    const [overWidth, overRows] = [isMatrix(view, rows, width), isMatrix(transposed(view), rows, width)];
    const blocks = overRows ? narrow + 3 : along;
    const makes = { bf16: overWidth || overRows, int8: overWidth && !right, 'int8 blocks': blocks !== undefined }[
      format
    ];
    if (!makes || !(overWidth || overRows)) return undefined;
    const wide = forms + (overWidth ? 0 : 6) + (right ? 3 : 0);
    const form = { bf16: wide, int8: narrow, 'int8 blocks': blocks! }[format];
    const buffer = memoryOf(format, view.shape);
    op.fields = { ...op.fields, [form]: true, [form + 1]: { buffer, offset: 0 } };
    return buffer;
  }

  /** A matrix in int8; the left side needs rows that lie together. */
  #packNarrow(given: View, right: boolean): Buffer {
    const [R, K] = given.shape;
    const lies = (view: View) => view.strides[1] === 1 || (right && view.strides[0] === 1);
    const view = lies(given) ? given : this.#tape.dense(given);
    const [sR, sK] = view.strides;
    const buffer = memoryOf('int8', view.shape);
    const fields = { 2: right, 3: { buffer, offset: 0 }, 5: placeOf(view), 7: R, 8: K, 9: sR, 10: sK };
    this.#tape.add('packNarrow', Math.ceil(R / (sK === 1 ? 16 : 64)), fields);
    return buffer;
  }

  /** A matrix in int8, either side, by blocks along its rows. */
  #packBlocks(view: View): Buffer {
    const along = view.strides[1] === 1;
    const lying = this.#tape.dense(along ? view : transposed(view));
    const [rows, width] = lying.shape;
    const op = this.blocks('tiles', rows, { 5: placeOf(lying), 7: rows, 8: width });
    this.makes(lying, op, width, TILES);
    return this.#tilesAtOnce(along ? lying : transposed(lying), true, 'int8 blocks')!;
  }

  #pack(view: View, right: boolean): Buffer {
    const [R, K] = view.shape.slice(-2);
    const [rows, width] = view.strides.at(-1) === 1 ? [R, K] : [K, R];
    const lying = view.strides.at(-1) === 1 ? view : transposed(view);
    // what is given is read again where its next form is needed: tiles that wait from the forward pass on cost more
    const lives = view.buffer.slot === null;
    if (lives && view.shape.length === 2 && isAll(view) && isMatrix(lying, rows, width)) {
      // all forms of it are made where the first is: it is read once
      const op = this.blocks('tiles', rows, { 5: placeOf(view), 7: rows, 8: width });
      this.makes(view, op, width, TILES);
      return this.#tilesAtOnce(view, right, 'bf16')!;
    }
    const [sR, sK] = view.strides.slice(-2);
    const lead = joined(view.shape.slice(0, -2), view.strides.slice(0, -2));
    if (lead.shape.length > 2) return this.#pack(this.#tape.dense(view), right);
    const batches = sizeOf(lead.shape);
    const [down, across] = [Math.ceil(R / 16), Math.ceil(K / 32)];
    const buffer = memoryOf('bf16', [R, K], batches);
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

/** Where the kernel of that name is told of forms. */
const TILES = { forms: 10, result: null, narrow: 22, along: 28 };

/** Memory for matrices [R,K]; in int8 with what levels stand for and -128 times sums behind, four bytes a row each, or a row of a tile. */
function memoryOf(format: Format, [R, K]: readonly number[], batches = 1): Buffer {
  const down = Math.ceil(R / 16);
  const tiles = down * Math.ceil(K / (format === 'bf16' ? 32 : 64));
  const behind = { bf16: 0, int8: 128 * down, 'int8 blocks': 128 * tiles }[format];
  return { bytes: batches * tiles * TILE_BYTES + behind, slot: null };
}
