// The updates of optimisers in WebAssembly, four numbers at a time: JavaScript takes three times as long. Chunks of the arrays are
// copied into its memory and back, so that they may lie anywhere. Its numbers are float32 on every machine: the same bits everywhere.
import { ADAMW_WASM } from './adamw-wasm.ts';
import type { DynamicCode } from './dynamic-code.ts';

/** Numbers of a chunk; what a kernel reads lies in 64 KiB pages behind one another, see adamw.wat. */
export const CHUNK = 16_384;
const AT = {
  gradient: 0x10000,
  first: 0x20000,
  second: 0x30000,
  codes: [0x20000, 0x24000],
  scales: [0x28000, 0x28400],
  values: [0x29000, 0x29400],
  bounds: [0x29800, 0x29c00],
  cells: [0x40000, 0x50000],
} as const;

/** What an update comes to beside the arrays, all in float32. */
export interface AdamWFactors {
  /** What the gradient is multiplied by. */
  readonly clip: number;
  readonly beta1: number;
  readonly beta2: number;
  /** The rate over the bias correction of the first moment. */
  readonly step: number;
  /** One over the root of the bias correction of the second. */
  readonly correction: number;
  readonly epsilon: number;
  /** Share of a weight that decay leaves. */
  readonly keep: number;
}

type Kernel = (count: number, ...factors: number[]) => void;
interface Exports {
  readonly memory: { readonly buffer: ArrayBuffer };
  readonly adamw: Kernel;
  readonly adamw8bit: Kernel;
  readonly lion: Kernel;
}

/** @types/node leaves out what WebAssembly has in every Node. */
declare const WebAssembly: {
  Module: new (bytes: Uint8Array) => object;
  Instance: new (module: object) => { readonly exports: unknown };
};

function instance(): Exports {
  const module = new WebAssembly.Module(Buffer.from(ADAMW_WASM, 'base64'));
  return new WebAssembly.Instance(module).exports as Exports;
}

function inOrder({ clip, beta1, beta2, step, correction, epsilon, keep }: AdamWFactors): number[] {
  return [clip, beta1, 1 - beta1, beta2, 1 - beta2, step, correction, epsilon, keep];
}

/** Arrays of one length, chunk by chunk through the memory of a kernel, where they lie one page behind the other. */
class Chunks {
  readonly #parts: readonly Float32Array[];

  constructor({ memory }: Exports, arrays: number) {
    const pages = [0, AT.gradient, AT.first, AT.second].slice(0, arrays);
    this.#parts = pages.map((at) => new Float32Array(memory.buffer, at, CHUNK));
  }

  /** All arrays but the second, the gradient, are written back. */
  each(arrays: readonly Float32Array[], kernel: (count: number) => void): void {
    const size = arrays[0].length;
    for (let start = 0; start < size; start += CHUNK) {
      const count = Math.min(CHUNK, size - start);
      arrays.forEach((array, i) => {
        this.#parts[i].set(array.subarray(start, start + count));
      });
      kernel(count);
      arrays.forEach((array, i) => {
        if (i !== 1) array.set(this.#parts[i].subarray(0, count), start);
      });
    }
  }
}

/** AdamW on arrays of one length. */
export class AdamWKernel {
  readonly #exports = instance();
  readonly #chunks = new Chunks(this.#exports, 4);

  /** Moves weights and both moments in place. */
  update(
    weights: Float32Array,
    gradient: Float32Array,
    first: Float32Array,
    second: Float32Array,
    factors: AdamWFactors,
  ): void {
    const given = inOrder(factors);
    this.#chunks.each([weights, gradient, first, second], (count) => this.#exports.adamw(count, ...given));
  }
}

/** What an update of Lion comes to beside the arrays, all in float32. */
export interface LionFactors {
  /** What the gradient is multiplied by. */
  readonly clip: number;
  readonly beta1: number;
  readonly beta2: number;
  readonly rate: number;
  /** Share of a weight that decay leaves. */
  readonly keep: number;
}

/** Lion on arrays of one length. */
export class LionKernel {
  readonly #exports = instance();
  readonly #chunks = new Chunks(this.#exports, 3);

  /** Moves weights and the momentum in place. */
  update(weights: Float32Array, gradient: Float32Array, momentum: Float32Array, factors: LionFactors): void {
    const { clip, beta1, beta2, rate, keep } = factors;
    const given = [clip, beta1, 1 - beta1, beta2, 1 - beta2, rate, keep];
    this.#chunks.each([weights, gradient, momentum], (count) => this.#exports.lion(count, ...given));
  }
}

/** Codes of a moment and the scale of each 256 of them. */
export interface Coded {
  readonly codes: Uint8Array;
  readonly scales: Float32Array;
}

/** The same with both moments in 8 bits. */
export class AdamW8bitKernel {
  readonly #exports = instance();
  readonly #block: number;
  readonly #zeros: readonly number[];
  readonly #weights = new Float32Array(this.#exports.memory.buffer, 0, CHUNK);
  readonly #gradient = new Float32Array(this.#exports.memory.buffer, AT.gradient, CHUNK);
  readonly #codes = AT.codes.map((at) => new Uint8Array(this.#exports.memory.buffer, at, CHUNK));
  readonly #scales: readonly Float32Array[];

  /** @param codes of the first and of the second moment */
  constructor(codes: readonly [DynamicCode, DynamicCode], block: number) {
    const { buffer } = this.#exports.memory;
    this.#block = block;
    this.#scales = AT.scales.map((at) => new Float32Array(buffer, at, CHUNK / block));
    this.#zeros = codes.map((code) => code.encode(0));
    codes.forEach(({ values, bounds, cells }, i) => {
      new Float32Array(buffer, AT.values[i], 256).set(values);
      new Float32Array(buffer, AT.bounds[i], 256).set(bounds);
      new Uint8Array(buffer, AT.cells[i], cells.length).set(cells);
    });
  }

  /** Moves weights and both moments in place. */
  update(weights: Float32Array, gradient: Float32Array, moments: readonly [Coded, Coded], factors: AdamWFactors): void {
    const given = inOrder(factors);
    for (let start = 0; start < weights.length; start += CHUNK) {
      const count = Math.min(CHUNK, weights.length - start);
      if (count < CHUNK) this.#clear();
      const blocks = [start / this.#block, Math.ceil((start + count) / this.#block)] as const;
      this.#weights.set(weights.subarray(start, start + count));
      this.#gradient.set(gradient.subarray(start, start + count));
      moments.forEach(({ codes, scales }, i) => {
        this.#codes[i].set(codes.subarray(start, start + count));
        this.#scales[i].set(scales.subarray(...blocks));
      });
      this.#exports.adamw8bit(count, ...given);
      weights.set(this.#weights.subarray(0, count), start);
      moments.forEach(({ codes, scales }, i) => {
        codes.set(this.#codes[i].subarray(0, count), start);
        scales.set(this.#scales[i].subarray(0, blocks[1] - blocks[0]), blocks[0]);
      });
    }
  }

  /** The last four numbers of a chunk may be computed though fewer are given. */
  #clear(): void {
    this.#weights.fill(0);
    this.#gradient.fill(0);
    this.#codes.forEach((codes, i) => {
      codes.fill(this.#zeros[i]);
    });
  }
}
