// How fast this machine reads weights from memory, measured by a product of one row with a matrix larger than its caches.
import { Builder } from '../../graph/builder.ts';
import { openOnnx } from '../../runtime/onnx.ts';

const K = 4096;
const N = 8192;
const RUNS = 12;

/** Bytes a second; takes about a second. */
export async function measureBandwidth(): Promise<number> {
  const b = new Builder();
  const x = b.input('x', 'float32', [1, K]);
  const w = b.constant('w', 'float32', [N, K], () => new Float32Array(N * K).fill(0.01));
  b.output('y', b.matmul(x, w, { transB: true }));
  const session = await openOnnx(b.graph());
  try {
    const row = { dtype: 'float32' as const, shape: [1, K], data: new Float32Array(K).fill(1) };
    let best = Number.POSITIVE_INFINITY;
    for (let run = 0; run < RUNS; run++) {
      const started = performance.now();
      await session.run({ x: row });
      // others on the machine only ever slow one down
      best = Math.min(best, performance.now() - started);
    }
    return (4 * N * K) / (best / 1000);
  } finally {
    await session.close();
  }
}
