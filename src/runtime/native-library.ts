// ONNX Runtime's C interface, called through koffi: unlike the stock binding it can run one session from several threads at once.
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import koffi from 'koffi';
import { CupelError } from '../base/errors.ts';
import { callAsync, widenStack } from './native-call.ts';

/** An address; 0n is null. */
export type Pointer = bigint;

/** The version of the interface; later libraries still offer it. */
const API_VERSION = 17;

/** Where the functions stand in `struct OrtApi` (onnxruntime_c_api.h), which only ever grows at its end; all give a status. */
const FUNCTIONS = {
  createEnv: [3, ['int', 'str', 'void*']],
  createSession: [7, ['void*', 'void*', 'void*', 'void*']],
  run: [9, ['void*', 'void*', 'void*', 'void*', 'size_t', 'void*', 'size_t', 'void*']],
  createSessionOptions: [10, ['void*']],
  enableProfiling: [14, ['void*', 'void*']],
  disableMemPattern: [17, ['void*']],
  setSessionLogSeverityLevel: [22, ['void*', 'int']],
  setIntraOpNumThreads: [24, ['void*', 'int']],
  createTensor: [49, ['void*', 'void*', 'size_t', 'void*', 'size_t', 'int', 'void*']],
  createCpuMemoryInfo: [69, ['int', 'int', 'void*']],
  allocatorFree: [76, ['void*', 'void*']],
  defaultAllocator: [78, ['void*']],
  endProfiling: [110, ['void*', 'void*', 'void*']],
  addConfigEntry: [130, ['void*', 'str', 'str']],
} as const satisfies Record<string, readonly [number, readonly string[]]>;

const RELEASES = { status: 93, session: 95, value: 96, options: 100 } as const;
const ERROR_MESSAGE = 2;

type Argument = Pointer | number | string | NodeJS.TypedArray | null;
type Call = (...args: Argument[]) => void;

export type OrtApi = Record<keyof typeof FUNCTIONS, Call> & {
  /** `run` on a thread of koffi's. */
  readonly runAsync: (...args: Argument[]) => Promise<void>;
  readonly release: Record<keyof typeof RELEASES, (pointer: Pointer) => void>;
  readonly env: Pointer;
  readonly cpuMemory: Pointer;
};

let loaded: OrtApi | null | undefined;

/** The interface, once for a thread; null where the package has no library that can be called. */
export function loadOrt(): OrtApi | null {
  if (loaded === undefined) {
    const file = libraryFile();
    loaded = file ? bind(file) : null;
  }
  return loaded;
}

const LIBRARY = /^(libonnxruntime\.so(\.\d+)?|libonnxruntime(\.[\d.]+)?\.dylib|onnxruntime\.dll)$/;

function libraryFile(): string | undefined {
  const root = join(dirname(createRequire(import.meta.url).resolve('onnxruntime-node/package.json')), 'bin');
  for (const abi of existsSync(root) ? readdirSync(root) : []) {
    const folder = join(root, abi, process.platform, process.arch);
    const file = existsSync(folder) ? readdirSync(folder).find((name) => LIBRARY.test(name)) : undefined;
    if (file) return join(folder, file);
  }
  return undefined;
}

function bind(file: string): OrtApi {
  widenStack();
  const base = koffi.load(file).func('void* OrtGetApiBase()')() as Pointer;
  const getApi = koffi.decode(koffi.decode(base, 'void*'), koffi.proto('void*', ['uint32']));
  const api = getApi(API_VERSION) as Pointer;
  const at = (index: number, result: string, args: readonly string[]) =>
    koffi.decode(koffi.decode(api, index * koffi.sizeof('void*'), 'void*'), koffi.proto(result, [...args]));
  const message = at(ERROR_MESSAGE, 'str', ['void*']);
  const release = Object.fromEntries(
    Object.entries(RELEASES).map(([name, index]) => [name, at(index, 'void', ['void*'])]),
  ) as OrtApi['release'];
  const check = (status: Pointer | null) => {
    if (!status) return;
    const text = message(status) as string;
    release.status(status);
    throw new CupelError(`ONNX Runtime: ${text}`);
  };
  const functions = Object.entries(FUNCTIONS).map(([name, [index, args]]) => [name, at(index, 'void*', args)] as const);
  const calls = Object.fromEntries(
    functions.map(([name, call]) => [name, (...args: Argument[]) => check(call(...args))]),
  ) as Record<keyof typeof FUNCTIONS, Call>;
  const run = new Map(functions).get('run')!;
  const runAsync = (...args: Argument[]) => callAsync(run, args, check);
  const [WARNING, ARENA, DEFAULT] = [3, 1, 0];
  return {
    ...calls,
    runAsync,
    release,
    env: made((out) => calls.createEnv(WARNING, 'cupel', out)),
    cpuMemory: made((out) => calls.createCpuMemoryInfo(ARENA, DEFAULT, out)),
  };
}

/** The pointer that a function writes out. */
export function made(call: (out: BigUint64Array) => void): Pointer {
  const out = new BigUint64Array(1);
  call(out);
  return out[0];
}
