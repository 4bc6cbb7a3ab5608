// What our forward graph computes from a checkpoint: logits of every position, and greedy continuations.
import type { Checkpoint } from '../src/formats/checkpoint.ts';
import { Builder } from '../src/graph/builder.ts';
import { flatten } from '../src/graph/ops/matmul.ts';
import { floats, int64 } from '../src/graph/tensor.ts';
import { familyOf } from '../src/models/families.ts';
import { logitsOf, modelInputs } from '../src/models/loss.ts';
import type { WeightSource } from '../src/models/model.ts';
import { constantWeights } from '../src/models/weights.ts';
import { openOnnx } from '../src/runtime/onnx.ts';
import { largest } from './llama-logits.ts';

/** @param weights the checkpoint's own unless given */
export async function openInGraph(model: Pick<Checkpoint, 'config' | 'weights'>, weights?: WeightSource) {
  const family = familyOf(model.config);
  const config = family.parseConfig(model.config);
  const b = new Builder();
  const inputs = modelInputs(b, 1);
  const source = constantWeights(b, weights ?? model.weights);
  const hidden = family.forward(b, config, inputs, source);
  b.output('logits', logitsOf(b, family, config, source, flatten(b, hidden)));
  const session = await openOnnx(b.graph());
  const logits = async (ids: readonly number[]): Promise<Float32Array[]> => {
    const shape = [1, ids.length];
    const results = await session.run({
      ids: int64(shape, [...ids]),
      positions: int64(
        shape,
        ids.map((_, i) => i),
      ),
      segments: int64(
        shape,
        ids.map(() => 1),
      ),
    });
    const all = floats(results.logits);
    const V = config.vocabularySize;
    return ids.map((_, i) => Float32Array.from(all.slice(i * V, (i + 1) * V)));
  };
  return {
    logits,
    async greedy(ids: readonly number[], count: number): Promise<number[]> {
      const all = [...ids];
      while (all.length < ids.length + count) all.push(largest((await logits(all)).at(-1)!));
      return all.slice(ids.length);
    },
    close: () => session.close(),
  };
}
