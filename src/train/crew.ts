// Threads that share the chunks of a kernel with the thread that asks for it, which waits until all are done.
import type { Worker } from 'node:worker_threads';
import koffi from 'koffi';
import { startWorker } from '../base/worker.ts';
import { type ChunkRunner, chunkRunner, chunksOf, type Job, type KernelArray } from './kernels.ts';

/** A job of fewer chunks (16 million numbers, 40 ms on one thread) is not worth the memory of other threads. */
const WORTHWHILE = 1024;
/** Chunks that a thread takes: calls and counters cost next to nothing then. */
const AT_ONCE = 8;
/** More threads than these wait for memory. */
const MOST_THREADS = 8;

/** What the threads of one job have in common, as 32-bit numbers in shared memory: the next chunk, how many have begun, ended and failed. */
export const TURN = { next: 0, begun: 1, ended: 2, failed: 3 } as const;

/** An array of the thread that waits, where it lies; it neither moves nor goes away meanwhile. */
interface Placed {
  readonly address: bigint;
  readonly bytes: number;
  readonly type: keyof typeof TYPES;
}

/** A job as it is sent. */
export interface Task extends Omit<Job, 'arrays'> {
  readonly arrays: readonly Placed[];
  readonly turn: Int32Array;
}

const TYPES = { Float32Array, Float64Array, Uint8Array } as const;

export class Crew {
  #kernels: ChunkRunner | undefined;
  readonly #helpers: number;
  readonly #least: number;
  #workers: readonly Worker[] = [];

  /**
   * @param threads that one included which asks; the others start with the first job that is large enough
   * @param least chunks of a job that is shared
   */
  constructor(threads = 1, least = WORTHWHILE) {
    this.#helpers = Math.min(threads, MOST_THREADS) - 1;
    this.#least = least;
  }

  /** Runs all of a job. Which thread takes which chunk makes no difference to a bit. @returns how many threads took part */
  run(job: Job): number {
    const turn = new Int32Array(new SharedArrayBuffer(16));
    if (this.#helpers > 0 && chunksOf(job) >= this.#least) this.#call({ ...job, arrays: job.arrays.map(place), turn });
    this.#kernels ??= chunkRunner();
    takeChunks(this.#kernels, job, turn);
    // no chunk is left: who has not begun will find none
    for (;;) {
      const ended = Atomics.load(turn, TURN.ended);
      if (ended === Atomics.load(turn, TURN.begun)) break;
      Atomics.wait(turn, TURN.ended, ended);
    }
    if (Atomics.load(turn, TURN.failed)) throw new Error(`a thread failed in the kernel ${job.kernel}`);
    return 1 + Atomics.load(turn, TURN.begun);
  }

  close(): void {
    for (const worker of this.#workers) void worker.terminate();
    this.#workers = [];
  }

  #call(task: Task): void {
    if (this.#workers.length === 0) this.#workers = Array.from({ length: this.#helpers }, startHelper);
    for (const worker of this.#workers) worker.postMessage(task);
  }
}

/** The caller's thread and no other. */
export const ALONE = new Crew();

/**
 * Writes zeros over zeros: memory that is read before it is written is copied at the first write, each page with an interrupt of all
 * threads. Not before the first update, as the first step takes more memory than those after it.
 */
export function occupy(...arrays: readonly Float32Array[]): void {
  for (const array of arrays) array.fill(0);
}

function startHelper(): Worker {
  const worker = startWorker(import.meta.url, './crew-worker');
  // one that cannot start takes no chunks, and nobody waits for it
  worker.on('error', () => {});
  worker.unref();
  return worker;
}

/** Takes chunks until none is left; other threads may do the same. */
export function takeChunks(kernels: ChunkRunner, job: Job, turn: Int32Array): void {
  const chunks = chunksOf(job);
  for (;;) {
    const from = Atomics.add(turn, TURN.next, AT_ONCE);
    if (from >= chunks) return;
    kernels.run(job, from, Math.min(chunks, from + AT_ONCE));
  }
}

function place(array: KernelArray): Placed {
  const type = array.constructor.name as keyof typeof TYPES;
  return { address: koffi.address(array), bytes: array.byteLength, type };
}

/** The array again, in another thread. */
export function arrayAt({ address, bytes, type }: Placed): KernelArray {
  return new TYPES[type](koffi.view(address, bytes));
}
