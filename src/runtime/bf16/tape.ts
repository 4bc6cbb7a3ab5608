// A tape: ops on buffers, in order, and where the buffers lie while it runs.
import { arrange, type Buffer } from './memory.ts';

/** In the order of `KERNELS` in native/tape.c. */
const KERNELS = [
  'map',
  'copy',
  'fill',
  'any',
  'reduce',
  'rmsNorm',
  'rmsNormGradient',
  'softmax',
  'softmaxGradient',
  'rope',
  'gather',
  'scatterAdd',
  'crossEntropy',
  'crossEntropyGradient',
  'lossPart',
  'lossEnd',
  'lossGradientPart',
  'pack',
  'packNarrow',
  'tiles',
  'product',
  'gated',
  'gatedGradient',
  'sight',
  'attention',
  'attentionGradient',
  'sumSquares',
  'total',
] as const;

export type KernelName = (typeof KERNELS)[number];

/** `WIDTH` in native/tape.h: numbers of an op. */
export const WIDTH = 64;
/** `SCRATCH` there: bytes that a kernel may use for itself, for each thread. */
export const SCRATCH = 32 * 2 ** 20;

/** `NARROW` there: the last of them, for 16 rows that become int8. */
export const NARROW = 4 * 2 ** 20;
/** Where an op is told of the rows of its items: `rowsOf` there, of the kernels that make tiles. */
export const ITEM_ROWS = WIDTH - 1;

/** Bytes from the start of a buffer. */
export interface Place {
  readonly buffer: Buffer;
  readonly offset: number;
}

/** What an op reads and writes by position: numbers, or places, which take two positions. */
export type Fields = Readonly<Record<number, number | boolean | Place>>;

export interface TapeOp {
  readonly kernel: KernelName;
  readonly items: number;
  fields: Fields;
}

/** A tape as the kernels read it. */
export interface WrittenTape {
  readonly ops: Float64Array;
  readonly count: number;
  /** Of the memory that slot 0 stands for. */
  readonly bytes: number;
  /** What each op is, for profiles. */
  readonly labels: readonly string[];
}

/** @param ops in order; buffers without a slot of their own are given a place in slot 0 */
export function writeTape(ops: readonly TapeOp[]): WrittenTape {
  const uses = new Map<Buffer, { first: number; last: number }>();
  ops.forEach(({ fields }, i) => {
    for (const field of Object.values(fields)) {
      if (typeof field !== 'object' || field.buffer.slot !== null) continue;
      const known = uses.get(field.buffer);
      if (known) known.last = i;
      else uses.set(field.buffer, { first: i, last: i });
    }
  });
  const { offsets, bytes } = arrange(uses);
  const written = new Float64Array(ops.length * WIDTH);
  ops.forEach(({ kernel, items, fields }, i) => {
    const start = i * WIDTH;
    written[start] = KERNELS.indexOf(kernel);
    written[start + 1] = items;
    for (const [at, field] of Object.entries(fields)) {
      const place = start + Number(at);
      if (typeof field !== 'object') written[place] = Number(field);
      else {
        written[place] = field.buffer.slot ?? 0;
        written[place + 1] = (offsets.get(field.buffer) ?? 0) + field.offset;
      }
    }
  });
  return { ops: written, count: ops.length, bytes, labels: ops.map(labelOf) };
}

/** A product with its M, N and K. */
function labelOf({ kernel, fields }: TapeOp): string {
  return kernel === 'product' ? `product ${fields[11]}x${fields[12]}x${fields[13]}` : kernel;
}
