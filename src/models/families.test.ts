// Every family in the training layout: packed rows with a shared prefix equal plain packing, and experts are met sparsely.
import { expect, it } from 'vitest';
import { readFixture } from '../../test/reference/fixture.ts';
import { Builder } from '../graph/builder.ts';
import { gradients } from '../graph/gradient.ts';
import type { Value } from '../graph/node.ts';
import { flatten } from '../graph/ops/matmul.ts';
import { floats, int64, type Tensor } from '../graph/tensor.ts';
import { openOnnx } from '../runtime/onnx.ts';
import { interpret, openReference } from '../runtime/reference.ts';
import { familyOf } from './families.ts';
import { modelInputs, tokenLoss } from './loss.ts';
import type { PackLayout } from './model.ts';
import { constantWeights } from './weights.ts';

const LAYOUT = { prefix: 14, rows: 2, length: 12 };
const TOKENS = LAYOUT.prefix + LAYOUT.rows * LAYOUT.length;
/** The second row holds two conversations and one token of padding. */
const SEGMENTS = [
  ...new Array(14).fill(0),
  ...new Array(12).fill(1),
  ...new Array(5).fill(2),
  ...new Array(6).fill(3),
  -1,
];
const counting = (from: number, count: number) => Array.from({ length: count }, (_, i) => from + i);
const POSITIONS = [...counting(0, 14), ...counting(14, 12), ...counting(14, 5), ...counting(14, 6), 0];

/** @param at the tokens that are wanted; default all */
function graphOf(name: string, layout?: PackLayout, at?: readonly number[]) {
  const { config, tensors } = readFixture(name);
  const family = familyOf(config);
  const parsed = family.parseConfig(config);
  const b = new Builder();
  const source = {
    names: () => [],
    shape: () => [],
    read: (weight: string) => floats(tensors.get(`weight/${weight}`)!),
  };
  const weights = constantWeights(b, source);
  const rows = at && b.constant('at', 'int64', [at.length], () => BigInt64Array.from(at, BigInt));
  const wanted = rows && ((x: Value) => b.gather(flatten(b, x), rows));
  const inputs = { ...modelInputs(b, 1, TOKENS), ...(layout && { layout }), ...(wanted && { wanted }) };
  const hidden = flatten(b, family.forward(b, parsed, inputs, weights));
  const targets = b.input('targets', 'int64', [at?.length ?? TOKENS]);
  const { loss } = tokenLoss(b, family, parsed, weights, hidden, targets);
  b.output('nll', loss);
  return { b, loss };
}

const feeds: Record<string, Tensor> = {
  ids: int64(
    [1, TOKENS],
    counting(0, TOKENS).map((i) => (i * 7) % 61),
  ),
  positions: int64([1, TOKENS], POSITIONS),
  segments: int64([1, TOKENS], SEGMENTS),
  targets: int64(
    [TOKENS],
    counting(0, TOKENS).map((i) => (i * 5) % 61),
  ),
};

it.each(['mistral', 'qwen2', 'qwen3', 'gemma3', 'mixtral', 'qwen3-moe', 'deepseek-v2'])(
  '%s: rows with a shared prefix compute what plain packing does',
  async (name) => {
    const run = async (layout?: PackLayout) => {
      const session = await openOnnx(graphOf(name, layout).b.graph(), { threads: 1 });
      const { nll } = await session.run(feeds);
      await session.close();
      return floats(nll);
    };
    const [plain, packed] = [await run(), await run(LAYOUT)];
    SEGMENTS.forEach((segment, i) => {
      if (segment >= 0) expect(Math.abs(packed[i] - plain[i])).toBeLessThan(1e-4 * (1 + plain[i]));
    });
  },
);

const WANTED = [3, 20, 21, 36];

it.each([
  ['mistral', true],
  ['qwen2', true],
  ['qwen3', true],
  ['gemma3', true],
  ['mixtral', false],
  ['qwen3-moe', false],
  ['deepseek-v2', false],
] as const)(
  '%s: tokens that are wanted alone come out as among all, and the others end after attention: %s',
  async (name, spared) => {
    const [all, some] = [graphOf(name, LAYOUT), graphOf(name, LAYOUT, WANTED)];
    const targets = int64(
      [WANTED.length],
      WANTED.map((i) => (i * 5) % 61),
    );
    const graph = some.b.graph();
    const whole = floats((await openReference(all.b.graph()).run(feeds)).nll);
    const nll = floats((await openReference(graph).run({ ...feeds, targets })).nll);
    WANTED.forEach((at, i) => {
      expect(Math.abs(nll[i] - whole[at])).toBeLessThan(1e-5 * (1 + whole[at]));
    });
    const activations = graph.nodes.filter(({ op }) => op === 'silu' || op === 'geluTanh');
    expect(activations.at(-1)!.outputs[0].shape[0] === WANTED.length).toBe(spared);
  },
);

it('sends each token to its experts only, and its gradient comes back through those only', () => {
  const { b, loss: nll } = graphOf('mixtral');
  const loss = b.reduceSum(nll, [0]);
  const weight = b.constant('model.layers.0.self_attn.q_proj.weight', 'float32', [32, 32], () => new Float32Array());
  b.output('gradient', gradients(b, loss, [weight])[0]);
  const graph = b.graph();
  const values = interpret(graph, feeds);
  const inside = graph.nodes.filter(
    ({ op, outputs: [y] }) => op === 'matmul' && String(y.shape[0]).includes('layers.'),
  );
  const rows = inside.map(({ outputs: [y] }) => values.get(y.name)!.shape[0]);
  // two layers, two experts a token; three products forward, and three for the gradients of their inputs
  expect(rows.reduce((sum, count) => sum + count, 0)).toBe(2 * 2 * TOKENS * 6);
});
