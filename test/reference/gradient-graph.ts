// A family's training graph on a fixture: logits, loss and the gradient of every weight, and how far they are from transformers'.
import { Builder } from '../../src/graph/builder.ts';
import { gradients } from '../../src/graph/gradient.ts';
import type { Value } from '../../src/graph/node.ts';
import { flatten } from '../../src/graph/ops/matmul.ts';
import { floats, int64, type Tensor } from '../../src/graph/tensor.ts';
import { familyOf } from '../../src/models/families.ts';
import { languageLoss, logitsOf, lossInputs, modelInputs } from '../../src/models/loss.ts';
import type { Routing } from '../../src/models/model.ts';
import { inputWeights } from '../../src/models/weights.ts';
import { openOnnx } from '../../src/runtime/onnx.ts';
import type { Fixture } from './fixture.ts';

/** Fixtures with gradients of transformers, one or more for every family. */
export const GRADIENT_FIXTURES = [
  ...['llama-tied', 'llama-untied-llama3', 'llama-bias-wide-heads', 'mistral', 'qwen2', 'qwen2-yarn', 'qwen3'],
  ...['gemma3', 'mixtral', 'qwen3-moe', 'deepseek-v2', 'deepseek-v2-lite'],
];

export function trainingGraph({ config }: Fixture) {
  const family = familyOf(config);
  const parsed = family.parseConfig(config);
  const b = new Builder();
  const inputs = modelInputs(b);
  const used = new Map<string, Value>();
  const weights = inputWeights(b, used);
  const routings: Routing[] = [];
  const hidden = family.forward(b, parsed, inputs, weights, routings);
  b.output('logits', logitsOf(b, family, parsed, weights, flatten(b, hidden)));
  const own = languageLoss(b, family, parsed, weights, hidden, lossInputs(b));
  const loss = family.balance ? b.add(own, family.balance(b, parsed, routings, inputs)) : own;
  b.output('loss', loss);
  gradients(b, loss, [...used.values()]).forEach((gradient, i) => {
    b.output(`gradient/${[...used.keys()][i]}`, gradient);
  });
  return { graph: b.graph(), shapes: family.weightShapes(parsed) };
}

function feedsOf({ tensors }: Fixture): Record<string, Tensor> {
  const ids = tensors.get('ids')!;
  const [batch, length] = ids.shape;
  const places = Array.from({ length: batch * length }, (_, i) => i % length);
  const weights = [...tensors].flatMap(([name, tensor]) =>
    name.startsWith('weight/') ? [[name.slice('weight/'.length), tensor] as const] : [],
  );
  return {
    ids,
    positions: int64(ids.shape, places),
    segments: int64(ids.shape, new Array(batch * length).fill(1)),
    lossIndex: tensors.get('rows')!,
    targets: tensors.get('targets')!,
    lossWeight: tensors.get('loss_weight')!,
    ...Object.fromEntries(weights),
  };
}

/** The largest difference, relative to the largest entry; where all are zero (an expert that nobody chose) the difference itself. */
function relativeError(actual: Tensor, expected: Tensor): number {
  const [a, e] = [floats(actual), floats(expected)];
  if (a.length !== e.length) return Number.POSITIVE_INFINITY;
  const scale = e.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - e[i])), 0) / (scale || 1);
}

/** By name (`logits`, `loss`, `gradient/WEIGHT`): the error of each tensor that the fixture has of transformers. */
export async function errorsOf(fixture: Fixture): Promise<Map<string, number>> {
  const session = await openOnnx(trainingGraph(fixture).graph);
  const results = await session.run(feedsOf(fixture));
  await session.close();
  const compared = [...fixture.tensors].filter(
    ([key]) => key === 'logits' || key === 'loss' || key.startsWith('gradient/'),
  );
  return new Map(compared.map(([key, expected]) => [key, relativeError(results[key], expected)]));
}
