// Every model family against transformers: logits, loss and the gradient of every parameter on tiny random models.
import { describe, expect, it } from 'vitest';
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
import { type Fixture, readFixture } from './fixture.ts';

const FIXTURES = [
  ...[
    'llama-tied',
    'llama-untied-llama3',
    'llama-bias-wide-heads',
    'mistral',
    'qwen2',
    'qwen2-yarn',
    'qwen3',
    'gemma3',
  ],
  ...['mixtral', 'qwen3-moe', 'deepseek-v2', 'deepseek-v2-lite'],
];

function trainingGraph({ config }: Fixture) {
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
  expect(a.length).toBe(e.length);
  const scale = e.reduce((largest, x) => Math.max(largest, Math.abs(x)), 0);
  return a.reduce((worst, x, i) => Math.max(worst, Math.abs(x - e[i])), 0) / (scale || 1);
}

describe.each(FIXTURES)('%s', (name) => {
  const fixture = readFixture(name);

  it('names every weight with its shape', () => {
    const { shapes } = trainingGraph(fixture);
    const expected = [...fixture.tensors].filter(([key]) => key.startsWith('weight/'));
    expect(Object.fromEntries(shapes)).toEqual(
      Object.fromEntries(expected.map(([key, { shape }]) => [key.slice('weight/'.length), shape])),
    );
  });

  it('computes logits, loss and every gradient as transformers does', async () => {
    const session = await openOnnx(trainingGraph(fixture).graph);
    const results = await session.run(feedsOf(fixture));
    await session.close();
    for (const [key, expected] of fixture.tensors)
      if (key === 'logits' || key === 'loss' || key.startsWith('gradient/'))
        expect(relativeError(results[key], expected), key).toBeLessThan(1e-4);
  });
});
