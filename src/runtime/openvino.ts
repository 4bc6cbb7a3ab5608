// A session on OpenVINO's processor plugin, which compiles a graph: chains of single elements become one loop, products with int8
// weights run on VNNI or AMX and all between them in bfloat16.
import { writeFileSync } from 'node:fs';
import koffi from 'koffi';
import { computesBfloat16, instructionSets } from '../base/processor.ts';
import type { DType, Graph } from '../graph/node.ts';
import type { Tensor } from '../graph/tensor.ts';
import { resultsFor } from './feeds.ts';
import { letGoOfPages, trimHeap } from './mapped.ts';
import { cStrings } from './native-call.ts';
import { made, type Pointer } from './native-library.ts';
import { loadOpenvino, type OpenvinoApi } from './openvino-library.ts';
import { eventsOf } from './profile.ts';
import type { ProfiledSession, Tensors } from './session.ts';

/** ov_element_type_e */
const ELEMENT: Readonly<Record<DType, number>> = {
  float32: 4,
  uint8: 16,
  int8: 7,
  int32: 9,
  int64: 10,
  bool: 1,
  int4: 6,
};

export type OpenvinoPrecision = 'bf16' | 'f32';

export interface OpenvinoOptions {
  /** Folder of the libraries. */
  readonly folder: string;
  /** What is computed in between products that say what they need; default what `openvinoPrecision` says. */
  readonly precision?: OpenvinoPrecision;
}

export interface OpenvinoRuntime extends OpenvinoOptions {
  /** All threads. */
  readonly threads: number;
  /** Runs at once, each with its share of the threads. */
  readonly lanes: number;
  /** The file of the model's constants, if it has one. */
  readonly constants?: string;
  /** Prefix of the file that `endProfiling` writes. */
  readonly profile?: string;
}

/** Version and build of the libraries in a folder. @throws CupelError where there are none */
export function openvinoVersion({ folder }: Pick<OpenvinoOptions, 'folder'>): string {
  return loadOpenvino(folder).version.split('-')[0];
}

/** bfloat16 where the processor has instructions for it: OpenVINO takes it where it has none, too. */
export function openvinoPrecision({ precision }: OpenvinoOptions): OpenvinoPrecision {
  return precision ?? (computesBfloat16(instructionSets()) ? 'bf16' : 'f32');
}

/** @throws CupelError with OpenVINO's message when it refuses the model at `path`, whose constants stay where they are */
export function openOpenvino(path: string, graph: Graph, runtime: OpenvinoRuntime): ProfiledSession {
  const api = loadOpenvino(runtime.folder);
  const model = made((out) => api.ov_core_read_model(api.core, path, null, out));
  const settings = {
    INFERENCE_PRECISION_HINT: openvinoPrecision(runtime),
    INFERENCE_NUM_THREADS: String(runtime.threads),
    NUM_STREAMS: String(runtime.lanes),
    // compiled chains of single elements cost 0.1 MB each, a quarter of the memory of a step, and win no time
    SNIPPETS_MODE: 'DISABLE',
    PERF_COUNT: runtime.profile ? 'YES' : 'NO',
  };
  // `ov_property_t[]`: pairs of addresses
  const properties = cStrings(Object.entries(settings).flat());
  const count = Object.keys(settings).length;
  const compiled = made((out) =>
    api.ov_core_compile_model_props(api.core, model, 'CPU', count, properties.addresses, out),
  );
  api.release.ov_model_free(model);
  // the plugin has copies of its own, arranged for its products: some are made now, the others by the first run
  const arranged = () => {
    if (runtime.constants) letGoOfPages(runtime.constants);
    trimHeap();
  };
  arranged();
  const request = () => made((out) => api.ov_compiled_model_create_infer_request(compiled, out));
  const requests = Array.from({ length: runtime.lanes }, request);
  const free = [...requests];
  const times = new Map<string, number[]>();
  let profiling = runtime.profile !== undefined;
  const runOne = async (feeds: Tensors, into?: Tensors) => {
    const one = free.pop() ?? request();
    if (!requests.includes(one)) requests.push(one);
    try {
      const results = await run(api, one, graph, feeds, into);
      if (profiling) addTimes(api, one, times);
      return results;
    } finally {
      free.push(one);
    }
  };
  let first: Promise<Tensors> | undefined;
  return {
    run: async (feeds, into) => {
      if (first) {
        await first.catch(() => {});
        return runOne(feeds, into);
      }
      // alone, so that what it needs once is not there beside what others need
      first = runOne(feeds, into).finally(arranged);
      return first;
    },
    endProfiling: () => {
      profiling = false;
      writeFileSync(`${runtime.profile}.json`, JSON.stringify(eventsOf(times)));
    },
    close: async () => {
      for (const one of requests) api.release.ov_infer_request_free(one);
      api.release.ov_compiled_model_free(compiled);
    },
  };
}

async function run(api: OpenvinoApi, request: Pointer, graph: Graph, feeds: Tensors, into?: Tensors): Promise<Tensors> {
  const results = resultsFor(graph, feeds, into);
  const given = [...graph.inputs.map(({ name }) => [name, feeds[name]] as const), ...results];
  const views: { tensor: Tensor; view: Pointer }[] = [];
  try {
    for (const [name, tensor] of given) {
      const view = api.tensorOver(ELEMENT[tensor.dtype], tensor.shape, tensor.data as NodeJS.TypedArray);
      views.push({ tensor, view });
      api.ov_infer_request_set_tensor(request, name, view);
    }
    await api.inferAsync(request);
  } finally {
    // names the tensors again: their data must be held until here
    for (const held of views.splice(0)) if (held.tensor) api.release.ov_tensor_free(held.view);
  }
  return Object.fromEntries(results);
}

const PROFILING = koffi.struct({
  status: 'int',
  realTime: 'int64',
  cpuTime: 'int64',
  name: 'str',
  execType: 'str',
  nodeType: 'str',
});

/** Adds the microseconds of the last run, by kind of node and what computed it. */
function addTimes(api: OpenvinoApi, request: Pointer, times: Map<string, number[]>): void {
  const list = new BigUint64Array(2);
  api.ov_infer_request_get_profiling_info(request, list);
  const [address, count] = list;
  for (const { realTime, nodeType, execType } of koffi.decode(address, koffi.array(PROFILING, Number(count)))) {
    if (Number(realTime) === 0) continue;
    const kind = `${nodeType} ${execType}`;
    times.set(kind, [...(times.get(kind) ?? []), Number(realTime)]);
  }
}
