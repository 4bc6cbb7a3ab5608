// The plainest source of weights for a forward graph: each a constant or an input, each projection one product.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import type { WeightSource, Weights } from './model.ts';

/** Frozen float32 weights, read when a runtime asks for them. */
export function constantWeights(b: Builder, source: WeightSource): Weights {
  return plainWeights(b, (name, shape) => b.constant(name, 'float32', shape, () => source.read(name)));
}

/** Every weight an input of the graph under its Hugging Face name, so that it can be trained; `used` collects them. */
export function inputWeights(b: Builder, used: Map<string, Value>): Weights {
  return plainWeights(b, (name, shape) => {
    const known = used.get(name);
    if (known) return known;
    const value = b.input(name, 'float32', shape);
    used.set(name, value);
    return value;
  });
}

function plainWeights(b: Builder, weight: Weights['weight']): Weights {
  return {
    weight,
    linear: (x, projections) =>
      projections.map(({ name, out, bias }) => {
        const y = b.matmul(x, weight(`${name}.weight`, [out, x.shape.at(-1) as number]), { transB: true });
        return bias ? b.add(y, weight(`${name}.bias`, [out])) : y;
      }),
  };
}
