// The kernels of native/, called through koffi.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import koffi, { type KoffiFunc } from 'koffi';
import { CupelError } from '../../base/errors.ts';
import { instructionSets } from '../../base/processor.ts';
import { callAsync, widenStack } from '../native-call.ts';
import { SCRATCH, WIDTH } from './tape.ts';

const FILE = join(import.meta.dirname, '..', '..', '..', 'native', 'linux-x64.so');

/** What products are computed with. */
export type Instructions = 'amx' | 'avx512';

export interface Bf16Library {
  readonly instructions: Instructions;
  /** Address of fresh memory of zeros. @throws CupelError where the system has none left */
  readonly memory: (bytes: number) => bigint;
  readonly release: (address: bigint, bytes: number) => void;
  /** Runs a tape beside JavaScript (`cupel_run` in native/tape.c). @throws CupelError where an index is beyond its table */
  readonly run: (...args: readonly unknown[]) => Promise<void>;
  /** Computes chunks of arrays; see native/optimiser.c. */
  readonly chunks: (...args: readonly unknown[]) => void;
}

/** Why the kernels cannot run here, a system that refuses the library included; undefined where they can. */
export function whyNoBf16(
  sets: readonly string[] = instructionSets(),
  platform = `${process.platform}-${process.arch}`,
): string | undefined {
  if (platform !== 'linux-x64') return `the kernels are for Linux on x64, not for ${platform}`;
  if (!['avx512f', 'avx512_vnni', 'avx512_bf16'].every((set) => sets.includes(set)))
    return 'this processor has no AVX-512 with VNNI and bfloat16';
  if (!existsSync(FILE)) return `${FILE} is missing`;
  try {
    loaded ??= bind();
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

let loaded: Bf16Library | undefined;

/**
 * The kernels, once for a thread.
 * @param instructions to compute products with; default AMX where processor and system have it
 * @throws CupelError with the reason where they cannot run
 */
export function loadBf16(instructions?: Instructions): Bf16Library {
  const reason = whyNoBf16();
  if (reason || !loaded) throw new CupelError(`cannot compute in bfloat16 here: ${reason}`);
  return { ...loaded, instructions: instructions ?? loaded.instructions };
}

function bind(): Bf16Library {
  try {
    widenStack();
  } catch {
    // too late, as another library is loaded; it is for those that come later, and these kernels need little
  }
  const library = koffi.load(FILE);
  const number = (name: string): number => library.func(name, 'int', [])();
  if (number('cupel_width') !== WIDTH || number('cupel_scratch') !== SCRATCH)
    throw new CupelError('the kernels are of another version', { place: { file: FILE } });
  const memory = library.func('cupel_memory', 'int64', ['int64']);
  const release = library.func('cupel_release', 'int', ['int64', 'int64']);
  const run = library.func('cupel_run', 'int', [
    ...['void*', 'int64', 'void*', 'int64', 'void*', 'int32', 'int32', 'void*'],
  ]) as KoffiFunc<(...args: unknown[]) => number>;
  const tiles = ['amx_bf16', 'amx_int8'].every((set) => instructionSets().includes(set));
  const amx = tiles && number('cupel_ask_for_tiles') === 0;
  return {
    instructions: amx ? 'amx' : 'avx512',
    memory: (bytes) => {
      const address = BigInt(memory(bytes));
      if (address > 0n) return address;
      throw new CupelError(`the system has no ${Math.ceil(bytes / 1e6)} MB left`, {
        remedy: 'use --memory, a smaller batch, or close other programs',
      });
    },
    release: (address, bytes) => void release(address, bytes),
    run: (...args) =>
      callAsync(run, args, (status) => {
        if (status !== 0) throw new CupelError('an id, a position or a target is beyond its table');
      }),
    chunks: library.func('cupel_chunks', 'void', [
      ...['int32', 'int64', 'int64', 'void*', 'void*', 'int32', 'void*', 'void*'],
    ]) as Bf16Library['chunks'],
  };
}
