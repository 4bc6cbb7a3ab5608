// OpenVINO's C interface (openvino/c/*.h), called through koffi.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import koffi from 'koffi';
import { CupelError } from '../base/errors.ts';
import { callAsync, widenStack } from './native-call.ts';
import { made, type Pointer } from './native-library.ts';

/** The arguments of each function; all give an `ov_status_e`, 0 where it went well. Sizes are `size_t`. */
const FUNCTIONS = {
  ov_core_create: ['void*'],
  ov_core_read_model: ['void*', 'str', 'str', 'void*'],
  ov_core_compile_model_props: ['void*', 'void*', 'str', 'size_t', 'void*', 'void*'],
  ov_core_get_property: ['void*', 'str', 'str', 'void*'],
  ov_compiled_model_create_infer_request: ['void*', 'void*'],
  ov_infer_request_set_tensor: ['void*', 'str', 'void*'],
  ov_infer_request_get_tensor: ['void*', 'str', 'void*'],
  ov_infer_request_infer: ['void*'],
  ov_infer_request_get_profiling_info: ['void*', 'void*'],
  ov_tensor_data: ['void*', 'void*'],
} as const satisfies Record<string, readonly string[]>;

const RELEASES = ['ov_model_free', 'ov_compiled_model_free', 'ov_infer_request_free', 'ov_tensor_free'] as const;

type Argument = Pointer | number | string | NodeJS.TypedArray | null;
type Call = (...args: Argument[]) => void;

export type OpenvinoApi = Record<keyof typeof FUNCTIONS, Call> & {
  /** `infer` on a thread of koffi's. */
  readonly inferAsync: (request: Pointer) => Promise<void>;
  /** A tensor over memory of ours, which must outlive it. */
  readonly tensorOver: (type: number, shape: readonly number[], data: NodeJS.TypedArray) => Pointer;
  readonly release: Record<(typeof RELEASES)[number], (pointer: Pointer) => void>;
  readonly core: Pointer;
  /** e.g. `2026.4.1-22982-e213a147257` */
  readonly version: string;
};

let loaded: { readonly folder: string; readonly api: OpenvinoApi } | undefined;

/**
 * The interface of the libraries in a folder, once for a thread.
 * @throws CupelError where the folder has no OpenVINO or the system refuses it
 */
export function loadOpenvino(folder: string): OpenvinoApi {
  if (loaded?.folder !== folder) loaded = { folder, api: bind(libraryIn(folder)) };
  return loaded.api;
}

const LIBRARY = /^(libopenvino_c\.so[.\d]*|libopenvino_c[.\d]*\.dylib|openvino_c\.dll)$/;

function libraryIn(folder: string): string {
  const name = existsSync(folder) ? readdirSync(folder).find((file) => LIBRARY.test(file)) : undefined;
  if (!name) throw new CupelError('there is no OpenVINO here', { place: { file: folder } });
  return join(folder, name);
}

function bind(file: string): OpenvinoApi {
  widenStack();
  const library = koffi.load(file);
  const shapeType = koffi.struct({ rank: 'int64', dims: 'void*' });
  const lastMessage = library.func('ov_get_last_err_msg', 'str', []);
  const named = library.func('ov_get_error_info', 'str', ['int']);
  const check = (status: number) => {
    if (status === 0) return;
    const lines = String(lastMessage() || named(status)).split('\n');
    // the last line says what is wrong, those before where OpenVINO's source says so
    throw new CupelError(`OpenVINO: ${lines.findLast((line) => line.trim() !== '')?.trim() ?? `status ${status}`}`);
  };
  const functions = new Map(
    Object.entries(FUNCTIONS).map(([name, args]) => [name, library.func(name, 'int', [...args])] as const),
  );
  const calls = Object.fromEntries(
    [...functions].map(([name, call]) => [name, (...args: Argument[]) => check(call(...args))]),
  ) as Record<keyof typeof FUNCTIONS, Call>;
  const release = Object.fromEntries(
    RELEASES.map((name) => [name, library.func(name, 'void', ['void*'])]),
  ) as unknown as OpenvinoApi['release'];
  const overHost = library.func('ov_tensor_create_from_host_ptr', 'int', ['int', shapeType, 'void*', 'void*']);
  const versionType = koffi.struct({ buildNumber: 'str', description: 'str' });
  const getVersion = library.func('ov_get_openvino_version', 'int', [koffi.out(koffi.pointer(versionType))]);
  const version: { buildNumber?: string } = {};
  check(getVersion(version));
  const infer = functions.get('ov_infer_request_infer')!;
  return {
    ...calls,
    release,
    inferAsync: (request) => callAsync(infer, [request], check),
    tensorOver: (type, shape, data) => {
      const dims = BigInt64Array.from(shape, BigInt);
      return made((out) => check(overHost(type, { rank: dims.length, dims }, data, out)));
    },
    version: version.buildNumber ?? 'unknown',
    core: made((out) => calls.ov_core_create(out)),
  };
}
