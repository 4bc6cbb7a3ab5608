// Mixtral: as Llama, with experts in every layer, two for each token, their weights normed to one.
import { attenders } from './attention.ts';
import { switchBalance } from './balance.ts';
import { ConfigFields } from './config-fields.ts';
import {
  addAttention,
  addLayerNorms,
  type DecoderConfig,
  decoderHead,
  decoderShapes,
  EMBEDDING,
  groupedAttention,
  oneWindow,
  parseDecoder,
  residualStack,
  rmsNormOf,
} from './decoder.ts';
import { addExperts, chosenWeights, type Experts, routerScores, sparseExperts } from './experts.ts';
import { flattenTokens } from './heads.ts';
import type { ModelFamily } from './model.ts';

export interface MixtralConfig extends DecoderConfig {
  readonly experts: Experts;
  readonly balanceWeight: number;
}

const BIASES = { input: false, output: false };

export const mixtral: ModelFamily<MixtralConfig> = {
  modelTypes: ['mixtral'],

  parseConfig(json) {
    const c = new ConfigFields({ rope_theta: 1_000_000, ...(json as object) });
    c.oneOf('hidden_act', ['silu'], 'silu');
    const config = parseDecoder(c, 'mixtral');
    return {
      ...config,
      windows: oneWindow(c, config.layers),
      experts: {
        count: c.count('num_local_experts', 8),
        perToken: c.count('num_experts_per_tok', 2),
        width: config.intermediateSize,
        router: 'block_sparse_moe.gate',
        prefix: 'block_sparse_moe.experts',
        names: ['w1', 'w3', 'w2'],
      },
      balanceWeight: c.nonNegative('router_aux_loss_coef', 0.001),
    };
  },

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at) => {
      addLayerNorms(shapes, at, config.hiddenSize);
      addAttention(shapes, at, config, BIASES);
      addExperts(shapes, at, config.hiddenSize, config.experts);
    }),

  forward(b, config, inputs, weights, routings = []) {
    const { hiddenSize: D, vocabularySize: V, experts } = config;
    const norm = rmsNormOf(b, weights, config.epsilon);
    const attendWithin = attenders(b, inputs);
    const embedded = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
    const mixture = (h: typeof embedded, at: string) => {
      const scores = routerScores(b, weights, flattenTokens(b, h), at, experts);
      const routing = { scores, chosen: b.topMask(scores, experts.perToken) };
      routings.push(routing);
      return sparseExperts(b, weights, h, at, experts, routing.chosen, chosenWeights(b, routing, true));
    };
    const x_BSD = residualStack(b, config.layers, embedded, (at, layer) => {
      const attend = attendWithin(config.windows[layer]);
      const options = { biases: BIASES };
      return [
        (x) => groupedAttention(b, config, inputs, weights, norm(x, `${at}.input_layernorm`), at, attend, options),
        (x) => mixture(norm(x, `${at}.post_attention_layernorm`), at),
      ];
    });
    return norm(inputs.wanted?.(x_BSD) ?? x_BSD, 'model.norm');
  },

  head: decoderHead,
  balance: (b, config, routings, inputs) => b.scale(switchBalance(b, routings, inputs), config.balanceWeight),
};
