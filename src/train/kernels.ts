// Updates of optimisers, sums and norms of gradients: with AVX-512 (native/optimiser.c, native/moments.c) or in WebAssembly, four numbers at a time, where
// JavaScript takes three times as long. WebAssembly works on copies of chunks in its own memory, so that arrays may lie anywhere, and so that
// several threads can work on one set of them (crew.ts). Numbers are float32 on every machine: the same bits everywhere.
import koffi from 'koffi';
import { loadBf16, whyNoBf16 } from '../runtime/bf16/library.ts';
import { BLOCK, SIGNED, UNSIGNED } from './dynamic-code.ts';
import { KERNELS_WASM } from './kernels-wasm.ts';

/** Numbers of a chunk. */
export const CHUNK = 16_384;

export type KernelArray = Float32Array | Float64Array | Uint8Array;

/** How an array takes part in a kernel; where it lies in the memory, see kernels.wat. */
interface Operand {
  readonly at: number;
  /** Numbers of the first array that share an element of this one; default 1. */
  readonly share?: number;
  /** Only read. */
  readonly given?: boolean;
  /** What stands behind the end of a chunk that is not full; default 0. */
  readonly rest?: number;
}

const WEIGHTS: Operand = { at: 0 };
const GRADIENT: Operand = { at: 0x10000, given: true };

/** The arrays of each kernel in the order in which a job gives them. */
const OPERANDS = {
  adamw: [WEIGHTS, GRADIENT, { at: 0x20000 }, { at: 0x30000 }],
  lion: [WEIGHTS, GRADIENT, { at: 0x20000 }],
  adamw8bit: [
    WEIGHTS,
    GRADIENT,
    { at: 0x20000, rest: SIGNED.encode(0) },
    { at: 0x24000, rest: UNSIGNED.encode(0) },
    { at: 0x28000, share: BLOCK },
    { at: 0x28400, share: BLOCK },
  ],
  accumulate: [WEIGHTS, GRADIENT],
  squares: [GRADIENT, { at: 0x20000, share: CHUNK }],
} as const satisfies Record<string, readonly Operand[]>;

export type KernelName = keyof typeof OPERANDS;
/** In the order of `cupel_chunks` in native/optimiser.c. */
const NAMES = Object.keys(OPERANDS) as readonly KernelName[];

/** A kernel over whole arrays. */
export interface Job {
  readonly kernel: KernelName;
  /** Of one length, but for those of which several numbers share an element. */
  readonly arrays: readonly KernelArray[];
  /** What the kernel takes beside them, all in float32. */
  readonly factors: readonly number[];
}

export function chunksOf({ arrays }: Job): number {
  return Math.ceil(arrays[0].length / CHUNK);
}

type Kernel = (count: number, ...factors: number[]) => void;
type Exports = Record<KernelName, Kernel> & { readonly memory: { readonly buffer: ArrayBuffer } };

/** @types/node leaves out what WebAssembly has in every Node. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

/** What computes chunks of a job, in one thread. */
export interface ChunkRunner {
  /** Chunks of a job up to `end`; they may be computed in any order. */
  run(job: Job, start: number, end: number): void;
}

/** With the processor's widest instructions where they can be had, else in WebAssembly: the same bits. */
export function chunkRunner(): ChunkRunner {
  return whyNoBf16() ? new WasmKernels() : new NativeKernels();
}

/** A job as native code reads it. */
interface Prepared {
  readonly bases: BigUint64Array;
  /** Of a chunk, for each array. */
  readonly bytes: BigInt64Array;
  readonly factors: Float32Array;
}

/** Kernels on the arrays where they lie. */
export class NativeKernels implements ChunkRunner {
  readonly #library = loadBf16();
  readonly #tables: readonly (Float32Array | Uint8Array)[];
  readonly #places: BigUint64Array;
  readonly #prepared = new WeakMap<Job, Prepared>();

  constructor() {
    this.#tables = [SIGNED, UNSIGNED].flatMap(({ values, bounds, cells }) => [values, bounds, padded(cells)]);
    this.#places = BigUint64Array.from(this.#tables, (table) => koffi.address(table));
  }

  run(job: Job, start: number, end: number): void {
    const { bases, bytes, factors } = this.#prepare(job);
    const count = Math.min(end * CHUNK, job.arrays[0].length) - start * CHUNK;
    this.#library.chunks(NAMES.indexOf(job.kernel), count, start, bases, bytes, bases.length, factors, this.#places);
  }

  #prepare(job: Job): Prepared {
    const known = this.#prepared.get(job);
    if (known) return known;
    const { arrays } = job;
    const operands: readonly Operand[] = OPERANDS[job.kernel];
    const bytes = operands.map(({ share = 1 }, i) => BigInt((CHUNK * arrays[i].BYTES_PER_ELEMENT) / share));
    const prepared = {
      bases: BigUint64Array.from(operands, (_, i) => koffi.address(arrays[i])),
      bytes: BigInt64Array.from(bytes),
      factors: Float32Array.from(job.factors),
    };
    this.#prepared.set(job, prepared);
    return prepared;
  }
}

/** Kernels on copies of the chunks. */
export class WasmKernels implements ChunkRunner {
  readonly #exports: Exports;

  constructor() {
    const module = new WebAssembly.Module(Buffer.from(KERNELS_WASM, 'base64'));
    this.#exports = new WebAssembly.Instance(module).exports as Exports;
    const { buffer } = this.#exports.memory;
    [SIGNED, UNSIGNED].forEach(({ values, bounds, cells }, i) => {
      new Float32Array(buffer, 0x60000 + 0x400 * i, 256).set(values);
      new Float32Array(buffer, 0x60800 + 0x400 * i, 256).set(bounds);
      new Uint8Array(buffer, 0x40000 + 0x10000 * i, cells.length).set(cells);
    });
  }

  run(job: Job, start: number, end: number): void {
    for (let index = start; index < end; index++) this.#runOne(job, index);
  }

  #runOne({ kernel, arrays, factors }: Job, index: number): void {
    const operands: readonly Operand[] = OPERANDS[kernel];
    const count = Math.min(CHUNK, arrays[0].length - index * CHUNK);
    const parts = operands.map(({ at, share = 1, given = false, rest = 0 }, i) => {
      const start = (index * CHUNK) / share;
      const part = arrays[i].subarray(start, start + Math.ceil(count / share));
      const memory = viewLike(part, this.#exports.memory.buffer, at, CHUNK / share);
      if (part.length < memory.length) memory.fill(rest);
      memory.set(part);
      return { part, memory, given };
    });
    this.#exports[kernel](count, ...factors);
    for (const { part, memory, given } of parts) if (!given) part.set(memory.subarray(0, part.length));
  }
}

/** With three bytes more: kernels read four at once. */
function padded(cells: Uint8Array): Uint8Array {
  const all = new Uint8Array(cells.length + 3);
  all.set(cells);
  return all;
}

function viewLike(array: KernelArray, buffer: ArrayBuffer, at: number, length: number): KernelArray {
  return new (array.constructor as Float32ArrayConstructor)(buffer, at, length);
}
