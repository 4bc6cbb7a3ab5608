// A session that may be run several times at once, each run on one thread, with one copy of the weights.
import type { DType, Graph } from '../graph/node.ts';
import type { Tensor } from '../graph/tensor.ts';
import { resultsFor } from './feeds.ts';
import { type CStrings, cStrings } from './native-call.ts';
import { made, type OrtApi, type Pointer } from './native-library.ts';
import type { OnnxOptions } from './onnx.ts';
import type { ProfiledSession, Tensors } from './session.ts';

/** ONNXTensorElementDataType */
const ELEMENT: Readonly<Record<DType, number>> = {
  float32: 1,
  uint8: 2,
  int8: 3,
  int32: 6,
  int64: 7,
  bool: 9,
  int4: 22,
};

/** @throws CupelError with ONNX Runtime's message when it refuses the model at `path` */
export function openNative(
  ort: OrtApi,
  path: string,
  graph: Graph,
  options: OnnxOptions & { readonly threads: number },
): ProfiledSession {
  const settings = made((out) => ort.createSessionOptions(out));
  ort.setIntraOpNumThreads(settings, options.threads);
  ort.setSessionLogSeverityLevel(settings, 3);
  ort.disableMemPattern(settings);
  ort.addConfigEntry(settings, 'session.disable_prepacking', options.prepack ? '0' : '1');
  if (options.profile) ort.enableProfiling(settings, fileName(options.profile));
  const session = made((out) => ort.createSession(ort.env, fileName(path), settings, out));
  ort.release.options(settings);
  const inputs = cStrings(graph.inputs.map(({ name }) => name));
  const outputs = cStrings([...graph.outputs.keys()]);
  return {
    run: (feeds, into) => run(ort, session, graph, { inputs, outputs }, feeds, into),
    endProfiling: () => {
      const allocator = made((out) => ort.defaultAllocator(out));
      ort.allocatorFree(
        allocator,
        made((out) => ort.endProfiling(session, allocator, out)),
      );
    },
    close: async () => ort.release.session(session),
  };
}

async function run(
  ort: OrtApi,
  session: Pointer,
  graph: Graph,
  { inputs, outputs }: { inputs: CStrings; outputs: CStrings },
  feeds: Tensors,
  into?: Tensors,
): Promise<Tensors> {
  const results = resultsFor(graph, feeds, into);
  const tensors = [...graph.inputs.map(({ name }) => feeds[name]), ...results.map(([, tensor]) => tensor)];
  const views = tensors.map((tensor) => ({ tensor, view: tensorOf(ort, tensor) }));
  const pointers = BigUint64Array.from(views, ({ view }) => view);
  const [given, filled] = [pointers.subarray(0, graph.inputs.length), pointers.subarray(graph.inputs.length)];
  try {
    await ort.runAsync(session, null, inputs.addresses, given, given.length, outputs.addresses, filled.length, filled);
  } finally {
    // names the tensors again: their data must be held until here
    for (const held of views.splice(0)) if (held.tensor) ort.release.value(held.view);
  }
  return Object.fromEntries(results);
}

/** A view of a tensor's data, which must not be collected before the view is released. */
function tensorOf(ort: OrtApi, { dtype, shape, data }: Tensor): Pointer {
  const sizes = BigInt64Array.from(shape, BigInt);
  return made((out) =>
    ort.createTensor(ort.cpuMemory, data, data.byteLength, sizes, sizes.length, ELEMENT[dtype], out),
  );
}

/** A path as the C interface takes it: wide characters on Windows. */
function fileName(path: string): Buffer {
  return Buffer.from(`${path}\0`, process.platform === 'win32' ? 'utf16le' : 'utf8');
}
