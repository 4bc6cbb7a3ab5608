// Runs a graph with ONNX Runtime. `run` blocks the thread it is called on: long work belongs in a worker.
import { rmSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { InferenceSession, type OnnxValue, Tensor as OrtTensor } from 'onnxruntime-node';
import { CupelError } from '../base/errors.ts';
import type { DType, Graph, TensorData } from '../graph/node.ts';
import type { Tensor } from '../graph/tensor.ts';
import { verify } from '../graph/verify.ts';
import { type Bf16Options, openBf16 } from './bf16/session.ts';
import type { Device } from './device.ts';
import { bindSymbols } from './feeds.ts';
import { ModelFolder } from './model-folder.ts';
import { openNative } from './native.ts';
import { loadOrt } from './native-library.ts';
import { type OpenvinoOptions, openOpenvino } from './openvino.ts';
import type { ProfiledSession, Session, Tensors } from './session.ts';

/** A step has thousands of nodes: more runs make files too large to read. */
const PROFILED_RUNS = 8;

export interface OnnxOptions {
  /** Threads for one op; default: all cores. */
  threads?: number;
  /** Where the model and its constants lie while the session is open; default: a folder under the system's temporary one. */
  folder?: string;
  /** In place of a folder of its own: where the models of sessions lie that have constants in common. Its owner closes it. */
  models?: ModelFolder;
  /** Keep constant weights in a second, rearranged copy that multiplies faster; default false. */
  prepack?: boolean;
  /** Write a profile of the first runs to a file with this prefix. */
  profile?: string;
  /** Default `cpu`; what a provider cannot compute, the processor does. */
  device?: Device;
  /** Runs that may go on at once, each with its share of the threads; on the processor only. Default 1. */
  lanes?: number;
  /** OpenVINO in place of ONNX Runtime, on the processor. */
  openvino?: OpenvinoOptions;
  /** Cupel's own kernels in place of both: products in bfloat16. */
  bf16?: Pick<Bf16Options, 'instructions'>;
}

/** @throws CupelError when the graph is not well formed or ONNX Runtime refuses it */
export async function openOnnx(graph: Graph, options: OnnxOptions = {}): Promise<Session> {
  verify(graph);
  if (options.bf16) return profiled(openBf16(graph, { ...options.bf16, ...options }), options);
  const models = options.models ?? new ModelFolder(options.folder);
  const openvino = usesDevice(options) ? undefined : options.openvino;
  let path = '';
  const letGo = () => {
    if (options.models) rmSync(path, { force: true });
    else models.close();
  };
  try {
    path = models.write(graph, openvino ? 'openvino' : 'onnxruntime');
    const session = await load(path, graph, { ...options, openvino, models });
    return profiled(session, options, letGo);
  } catch (error) {
    letGo();
    throw error;
  }
}

/** A session that writes its profile after the first runs. */
function profiled(session: ProfiledSession, { profile }: OnnxOptions, closed: () => void = () => {}): Session {
  let left = profile ? PROFILED_RUNS : 0;
  return {
    run: async (feeds, into) => {
      const results = await session.run(feeds, into);
      if (left > 0 && --left === 0) session.endProfiling();
      return results;
    },
    close: async () => {
      if (left > 0) session.endProfiling();
      await session.close();
      closed();
    },
  };
}

async function load(path: string, graph: Graph, options: OnnxOptions): Promise<ProfiledSession> {
  const { lanes = 1, threads = availableParallelism(), profile, openvino, models } = options;
  if (openvino)
    return openOpenvino(path, graph, { ...openvino, threads, lanes, profile, constants: models?.constants });
  const ort = lanes > 1 && !usesDevice(options) ? loadOrt() : null;
  try {
    if (ort) return openNative(ort, path, graph, { ...options, threads: Math.max(1, Math.floor(threads / lanes)) });
    const session = await InferenceSession.create(path, sessionOptions(options));
    return {
      run: (feeds, into) => runOnce(session, graph, feeds, into),
      endProfiling: () => session.endProfiling(),
      close: () => session.release(),
    };
  } catch (error) {
    throw new CupelError(`ONNX Runtime refuses the graph: ${(error as Error).message}`, { cause: error });
  }
}

/** Our names to ONNX Runtime's. */
const PROVIDERS = { cuda: 'cuda', webgpu: 'webgpu', coreml: 'coreml', directml: 'dml' } as const;

function usesDevice(options: OnnxOptions): options is OnnxOptions & { device: keyof typeof PROVIDERS } {
  return options.device !== undefined && options.device !== 'cpu';
}

function sessionOptions(options: OnnxOptions): InferenceSession.SessionOptions {
  return {
    ...(usesDevice(options) ? { executionProviders: [PROVIDERS[options.device], 'cpu'] } : {}),
    ...(options.threads ? { intraOpNumThreads: options.threads } : {}),
    ...(options.profile ? { enableProfiling: true, profileFilePrefix: options.profile } : {}),
    graphOptimizationLevel: 'all',
    // plans of memory are kept per input shape, and the number of loss positions differs at every step
    enableMemPattern: false,
    logSeverityLevel: 3,
    extra: { session: { disable_prepacking: options.prepack ? '0' : '1' } },
  };
}

async function runOnce(session: InferenceSession, graph: Graph, feeds: Tensors, into: Tensors = {}): Promise<Tensors> {
  bindSymbols(graph.inputs, feeds);
  const inputs: Record<string, OnnxValue> = {};
  for (const { name } of graph.inputs) inputs[name] = toOrt(feeds[name]);
  const fetches: Record<string, OnnxValue | null> = {};
  for (const name of graph.outputs.keys()) fetches[name] = into[name] ? toOrt(into[name]) : null;
  const results = await session.run(inputs, fetches);
  return Object.fromEntries(
    [...graph.outputs].map(([name, value]) => [name, into[name] ?? fromOrt(results[name] as OrtTensor, value.dtype)]),
  );
}

function toOrt(tensor: Tensor): OrtTensor {
  return new OrtTensor(tensor.dtype, tensor.data as never, tensor.shape);
}

function fromOrt(tensor: OrtTensor, dtype: DType): Tensor {
  return { dtype, shape: tensor.dims, data: tensor.data as TensorData };
}
