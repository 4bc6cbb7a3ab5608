// How fast this machine multiplies matrices, in int8 and float32, measured through the runtime that trains.
import { Builder } from '../graph/builder.ts';
import type { Graph } from '../graph/node.ts';
import type { Narrow } from '../graph/op.ts';
import { type OnnxOptions, openOnnx } from './onnx.ts';

/** Rows, inner and outer size: those of a feed-forward product of a small student over a batch. */
const M = 512;
const K = 1024;
const N = 2048;
const SECONDS = 0.5;

export interface MatrixSpeed {
  /** 10^9 multiplications and additions a second. */
  float32: number;
  int8: number;
}

/** Takes about two seconds. */
export async function measureMatrixSpeed(): Promise<MatrixSpeed> {
  return { float32: await speedOf(float32Product()), int8: await speedOf(int8Product()) };
}

/** Of int8 products alone, 10^9 multiplications and additions a second. Takes about half a second. */
export function measureInt8Speed(options: OnnxOptions = {}): Promise<number> {
  return speedOf(int8Product(), options);
}

/** Of products by Cupel's kernels, in bfloat16 or int8, 10^9 multiplications and additions a second. Takes about half a second. */
export function measureOwnSpeed(kind: 'bf16' | 'int8', { threads }: OnnxOptions = {}): Promise<number> {
  return speedOf(float32Product(kind === 'int8' ? 'inputs' : undefined), { threads, bf16: {} });
}

function float32Product(narrow?: Narrow): Graph {
  const b = new Builder();
  const x = b.input('x', 'float32', [M, K]);
  const w = b.constant('w', 'float32', [N, K], () => new Float32Array(N * K).fill(0.01));
  b.output('y', b.matmul(x, w, { transB: true, narrow }));
  return b.graph();
}

function int8Product(): Graph {
  const b = new Builder();
  const x = b.input('x', 'float32', [M, K]);
  const q = b.constant('q', 'int8', [K, N], () => new Int8Array(K * N).fill(3));
  const scale = b.constant('scale', 'float32', [N], () => new Float32Array(N).fill(0.01));
  b.output('y', b.int8MatMul(x, { q, scale }, null));
  return b.graph();
}

/** The best of repeated runs: others on the machine only ever slow one down. */
async function speedOf(graph: Graph, options: OnnxOptions = {}): Promise<number> {
  const session = await openOnnx(graph, options);
  try {
    const x = {
      dtype: 'float32' as const,
      shape: [M, K],
      data: Float32Array.from({ length: M * K }, (_, i) => (i % 7) - 3),
    };
    let best = Number.POSITIVE_INFINITY;
    const until = performance.now() + 1000 * SECONDS;
    for (let run = 0; run < 3 || performance.now() < until; run++) {
      const started = performance.now();
      await session.run({ x });
      best = Math.min(best, performance.now() - started);
    }
    return (2 * M * K * N) / best / 1e6;
  } finally {
    await session.close();
  }
}
