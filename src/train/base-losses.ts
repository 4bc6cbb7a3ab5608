// The base model's own loss of every answer token, computed once before training.
import { floats, type Tensor } from '../graph/tensor.ts';
import { type OnnxOptions, openOnnx } from '../runtime/onnx.ts';
import { initialTheta } from './lora.ts';
import { packBatch, placeOnce } from './packing.ts';
import { answerPlaces, answerStarts } from './select.ts';
import { feeds, type GraphOptions, validationGraph } from './step-graph.ts';
import type { Packing } from './trainer.ts';

/** Sample after sample. Adapters begin as nothing, so that the graph of the untrained theta is the base model. */
export async function baseLosses(
  { samples, groups, layout }: Packing,
  options: Omit<GraphOptions, 'shape'>,
  runtime: OnnxOptions,
): Promise<Float32Array> {
  const starts = answerStarts(samples);
  const losses = new Float32Array(starts.at(-1)!);
  const { lora } = options;
  const theta: Tensor = { dtype: 'float32', shape: [lora.size], data: initialTheta(lora, 0) };
  const session = await openOnnx(validationGraph({ ...options, shape: layout }), runtime);
  try {
    for (const placement of placeOnce(samples, groups, layout)) {
      const batch = packBatch(samples, groups, layout, placement, 'token');
      const { weights: _, ...inputs } = feeds(batch);
      const nll = floats((await session.run({ ...inputs, theta })).nll);
      answerPlaces(batch, samples, starts).forEach((place, i) => {
        losses[place] = nll[i];
      });
    }
  } finally {
    await session.close();
  }
  return losses;
}
