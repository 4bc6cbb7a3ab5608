// Mixtures of experts: each token's rows go only to the experts its router chose, forward and backward.
import type { Builder } from '../graph/builder.ts';
import { timesDims } from '../graph/dims.ts';
import type { Value } from '../graph/node.ts';
import { addProjection, gatedFeedForward, type WeightShapes } from './decoder.ts';
import { flattenTokens } from './heads.ts';
import type { Routing, Weights } from './model.ts';

/** A set of routed experts; the names are those of the family's modules. */
export interface Experts {
  /** E */
  readonly count: number;
  /** How many meet one token. */
  readonly perToken: number;
  /** F, the width of one expert. */
  readonly width: number;
  /** Module of the router below the layer, e.g. `mlp.gate`. */
  readonly router: string;
  /** Prefix of the experts' modules below the layer, e.g. `mlp.experts`. */
  readonly prefix: string;
  /** Gate, up and down. */
  readonly names: readonly [string, string, string];
}

export function addExperts(shapes: WeightShapes, at: string, D: number, experts: Experts): void {
  const { count, width, names } = experts;
  addProjection(shapes, `${at}.${experts.router}`, count, D);
  for (let index = 0; index < count; index++) {
    const module = `${at}.${experts.prefix}.${index}`;
    addProjection(shapes, `${module}.${names[0]}`, width, D);
    addProjection(shapes, `${module}.${names[1]}`, width, D);
    addProjection(shapes, `${module}.${names[2]}`, D, width);
  }
}

/** Softmax over the router's logits for h [N,D]: [N,E]. Routers stay in float32: a rounded one would choose others. */
export function routerScores(b: Builder, weights: Weights, h_ND: Value, at: string, experts: Experts): Value {
  const table = weights.weight(`${at}.${experts.router}.weight`, [experts.count, h_ND.shape[1] as number]);
  return b.softmax(b.matmul(h_ND, table, { transB: true }));
}

/** The scores at the chosen places, zero elsewhere; normed, they sum to one for each token. */
export function chosenWeights(b: Builder, { scores, chosen }: Routing, normed: boolean): Value {
  const zero = b.constant('zero', 'float32', [], () => new Float32Array(1));
  const kept = b.where(chosen, scores, zero);
  return normed ? b.div(kept, b.reduceSum(kept, [-1], true)) : kept;
}

/**
 * The experts' weighted sum for h [B,S,D]: rows are gathered in the order of their experts, each expert computes its own, and
 * the results are added where they came from. An expert that nobody chose computes nothing.
 * @param weights_NE one number for each choice, read only where `chosen` holds
 */
export function sparseExperts(
  b: Builder,
  weights: Weights,
  h_BSD: Value,
  at: string,
  experts: Experts,
  chosen_NE: Value,
  weights_NE: Value,
): Value {
  const h_ND = flattenTokens(b, h_BSD);
  const [rows, places, counts] = b.dispatch(chosen_NE, experts.perToken);
  const sizes = Array.from({ length: experts.count }, (_, index) => `${at}.${index}`);
  const parts = b.partition(b.gather(h_ND, rows), counts, sizes);
  const results = parts.map((part, index) =>
    b.scope(`experts.${index}`, () =>
      gatedFeedForward(b, weights, part, `${at}.${experts.prefix}.${index}`, experts.width, { names: experts.names }),
    ),
  );
  const united = b.unite(counts, results, rows.shape[0]);
  const choices = b.reshape(weights_NE, [timesDims(...weights_NE.shape), 1]);
  const sum_ND = b.scatterAdd(b.mul(united, b.gather(choices, places)), rows, h_ND);
  return b.reshapeLike(sum_ND, h_BSD);
}
