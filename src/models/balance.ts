// Losses that keep the experts of a mixture evenly used.
import type { Builder } from '../graph/builder.ts';
import { timesDims } from '../graph/dims.ts';
import type { Value } from '../graph/node.ts';
import type { ModelInputs, Routing } from './model.ts';

/** Padding has a negative segment: [N,1], 1 for tokens that count. */
function counted(b: Builder, { segments }: ModelInputs): Value {
  const below = b.constant('segment.padding', 'int64', [], () => BigInt64Array.of(-1n));
  const real = b.not(b.lessOrEqual(segments, below));
  return b.reshape(b.cast(real, 'float32'), [timesDims(...segments.shape), 1]);
}

/**
 * Switch Transformer (Fedus et al., 2021, equations 4 to 6) over all layers at once, as transformers has it for Mixtral and
 * Qwen3-MoE: E * sum over experts of (share of choices * mean score).
 */
export function switchBalance(b: Builder, routings: readonly Routing[], inputs: ModelInputs): Value {
  const real_N1 = counted(b, inputs);
  const over = (of: (routing: Routing) => Value) =>
    routings.map((routing) => b.reduceSum(b.mul(of(routing), real_N1), [0])).reduce((x, y) => b.add(x, y));
  const choices_E = over(({ chosen }) => b.cast(chosen, 'float32'));
  const scores_E = over(({ scores }) => scores);
  const rows = b.scale(b.reduceSum(real_N1, [0, 1]), routings.length);
  const experts = routings[0].scores.shape[1] as number;
  return b.scale(b.div(b.reduceSum(b.mul(choices_E, scores_E), [0]), b.mul(rows, rows)), experts);
}

/**
 * DeepSeek-V2 (2024, equations 23 to 25): for each sequence E/k * sum over experts of (share of choices * mean score), averaged
 * over sequences, summed over layers. A segment is a sequence; its number must be below S.
 */
export function sequenceBalance(
  b: Builder,
  routings: readonly Routing[],
  inputs: ModelInputs,
  perToken: number,
): Value {
  const real_N1 = counted(b, inputs);
  const ids_N = sequenceIds(b, inputs);
  const perSequence = (x: Value) => b.scatterAdd(b.mul(x, real_N1), ids_N, x);
  const sizes_N1 = perSequence(real_N1);
  const zero = b.constant('zero', 'float32', [], () => new Float32Array(1));
  const one = b.constant('one', 'float32', [], () => Float32Array.of(1));
  const empty = b.lessOrEqual(sizes_N1, zero);
  const divisor_N1 = b.where(empty, one, b.mul(sizes_N1, sizes_N1));
  const sequences = b.reduceSum(b.cast(b.not(empty), 'float32'), [0, 1]);
  const layers = routings.map(({ scores, chosen }) => {
    const products = b.mul(perSequence(b.cast(chosen, 'float32')), perSequence(scores));
    return b.reduceSum(b.div(products, divisor_N1), [0, 1]);
  });
  const experts = routings[0].scores.shape[1] as number;
  return b.scale(
    b.div(
      layers.reduce((x, y) => b.add(x, y)),
      sequences,
    ),
    experts / perToken,
  );
}

/** A number for each token's sequence, [N]: segments count from the start of their row of the batch. */
function sequenceIds(b: Builder, { segments }: ModelInputs): Value {
  const flat = [timesDims(...segments.shape)];
  const starts = b.sub(b.reshapeLike(b.iota(b.reshape(segments, flat), 0), segments), b.iota(segments, 1));
  const below = b.constant('segment.padding', 'int64', [], () => BigInt64Array.of(-1n));
  const none = b.constant('segment.none', 'int64', [], () => BigInt64Array.of(0n));
  const own = b.where(b.lessOrEqual(segments, below), none, segments);
  return b.reshape(b.add(own, starts), flat);
}
