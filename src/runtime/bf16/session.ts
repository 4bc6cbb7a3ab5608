// Runs a graph with Cupel's own kernels: products in bfloat16, everything else in float32.
import { writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import koffi from 'koffi';
import { CupelError } from '../../base/errors.ts';
import type { Graph } from '../../graph/node.ts';
import { bytesOf, rawBytes, sizeOf, type Tensor } from '../../graph/tensor.ts';
import { bindSymbols, resultsFor, sizesOf } from '../feeds.ts';
import { eventsOf } from '../profile.ts';
import type { ProfiledSession, Tensors } from '../session.ts';
import { attentionScratch } from './attention.ts';
import { fuse, type Step } from './fuse.ts';
import { type Bf16Library, type Instructions, loadBf16 } from './library.ts';
import { type Lower, Lowering } from './lowering.ts';
import { LOWERED, unknownOps } from './ops.ts';
import { SCRATCH, type WrittenTape, writeTape } from './tape.ts';
import { wholeOf } from './view.ts';

export interface Bf16Options {
  /** Default: all cores. */
  readonly threads?: number;
  /** What products are computed with; default what is fastest here. */
  readonly instructions?: Instructions;
  /** Prefix of the file that `endProfiling` writes. */
  readonly profile?: string;
}

/** As many as the kernels start, at most. */
const MOST_THREADS = 64;
/** Tapes of other sizes that are kept. */
const KEPT = 8;

/** The memory that a run with these sizes takes beside inputs and outputs, in bytes. @throws CupelError for ops without a kernel */
export function bf16Memory(graph: Graph, symbols: ReadonlyMap<string, number>): number {
  refuseUnknown(graph);
  return tapeOf(graph, symbols).bytes;
}

function refuseUnknown({ nodes }: Graph): void {
  const unknown = unknownOps(nodes);
  if (unknown.size > 0)
    throw new CupelError(`no kernel computes ${[...unknown].join(', ')} in bfloat16`, {
      remedy: 'use --precision int8: models with experts are trained by other engines',
      exitCode: 2,
    });
}

/** Slot 0 is memory for results in between; then come constants, inputs and outputs. */
function tapeOf(graph: Graph, symbols: ReadonlyMap<string, number>): WrittenTape {
  const steps = fuse(graph, ({ inputs }) => {
    const [q, k, v] = inputs.map(({ shape }) => sizesOf(shape, symbols));
    return attentionScratch(q, k, v) <= SCRATCH;
  });
  const l = new Lowering(steps, graph.outputs, symbols);
  let slot = 1;
  const given = [...graph.constants.map(({ value }) => value), ...graph.inputs];
  for (const value of given) {
    const shape = l.sizes(value.shape);
    l.bind(value, wholeOf({ bytes: sizeOf(shape) * bytesOf(value.dtype), slot: slot++ }, value.dtype, shape));
  }
  for (const step of steps) (LOWERED[step.op] as Lower<Step['op']>)(l, step);
  for (const value of graph.outputs.values()) {
    const from = l.dense(l.view(value));
    const bytes = sizeOf(from.shape) * bytesOf(from.dtype);
    // made where it shall be, unless it is part of something or goes out twice
    if (from.buffer.slot === null && from.buffer.bytes === bytes) from.buffer.slot = slot++;
    else l.copy(from, wholeOf({ bytes, slot: slot++ }, from.dtype, from.shape));
  }
  return writeTape(l.finish());
}

/** @throws CupelError for an op without a kernel, or where the kernels cannot run */
export function openBf16(graph: Graph, options: Bf16Options = {}): ProfiledSession {
  const library = loadBf16(options.instructions);
  refuseUnknown(graph);
  const threads = Math.min(options.threads ?? availableParallelism(), MOST_THREADS);
  const constants = graph.constants.map(({ value, read }) => rawBytes(value.dtype, read()));
  const tapes = new Map<string, WrittenTape>();
  const times = new Map<string, number[]>();
  let arena = { address: 0n, bytes: 0 };
  const scratch = library.memory(threads * SCRATCH);
  let profiling = options.profile !== undefined;
  let last: Promise<unknown> = Promise.resolve();

  const tapeFor = (symbols: ReadonlyMap<string, number>) => {
    const key = JSON.stringify([...symbols]);
    const known = tapes.get(key) ?? tapeOf(graph, symbols);
    tapes.delete(key);
    tapes.set(key, known);
    if (tapes.size > KEPT) tapes.delete(tapes.keys().next().value!);
    return known;
  };
  const run = async (feeds: Tensors, into?: Tensors) => {
    const symbols = bindSymbols(graph.inputs, feeds);
    const results = resultsFor(graph, feeds, into);
    const tape = tapeFor(symbols);
    if (tape.bytes > arena.bytes) {
      if (arena.bytes > 0) library.release(arena.address, arena.bytes);
      arena = { address: library.memory(tape.bytes), bytes: tape.bytes };
    }
    const arrays = [
      ...constants,
      ...graph.inputs.map(({ name }) => bytes(feeds[name])),
      ...results.map(([, x]) => bytes(x)),
    ];
    const slots = BigUint64Array.from([arena.address, ...arrays.map((array) => koffi.address(array))]);
    await runTape(library, tape, slots, scratch, threads, profiling ? times : undefined);
    return Object.fromEntries(results);
  };
  return {
    // one after the other: they share their memory
    run: (feeds, into) => {
      const next = last.catch(() => {}).then(() => run(feeds, into));
      last = next;
      return next;
    },
    endProfiling: () => {
      profiling = false;
      writeFileSync(`${options.profile}.json`, JSON.stringify(eventsOf(times)));
    },
    close: async () => {
      await last.catch(() => {});
      if (arena.bytes > 0) library.release(arena.address, arena.bytes);
      library.release(scratch, threads * SCRATCH);
      arena = { address: 0n, bytes: 0 };
    },
  };
}

/** The bytes that the kernels read: no number is copied. */
function bytes({ data }: Tensor): NodeJS.TypedArray {
  return data as NodeJS.TypedArray;
}

async function runTape(
  library: Bf16Library,
  tape: WrittenTape,
  slots: BigUint64Array,
  scratch: bigint,
  threads: number,
  times?: Map<string, number[]>,
): Promise<void> {
  const counters = new Int32Array(2 * tape.count);
  const cycles = times ? new Float64Array(tape.count) : null;
  const amx = Number(library.instructions === 'amx');
  const began = performance.now();
  await library.run(tape.ops, tape.count, slots, scratch, counters, threads, amx, cycles);
  if (!times || !cycles) return;
  const microseconds = (1000 * (performance.now() - began)) / cycles.reduce((sum, x) => sum + x, 0);
  tape.labels.forEach((label, i) => {
    const own = times.get(label) ?? [];
    times.set(label, own);
    own.push(Math.round(cycles[i] * microseconds));
  });
}
