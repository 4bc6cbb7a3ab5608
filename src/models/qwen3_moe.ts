// Qwen3-MoE: Qwen3's attention, with many small experts in the layers that the config names.
import { attenders } from './attention.ts';
import { switchBalance } from './balance.ts';
import { ConfigFields } from './config-fields.ts';
import {
  addAttention,
  addFeedForward,
  addLayerNorms,
  type DecoderConfig,
  decoderHead,
  decoderShapes,
  EMBEDDING,
  gatedFeedForward,
  groupedAttention,
  parseDecoder,
  residualStack,
  rmsNormOf,
} from './decoder.ts';
import { addExperts, chosenWeights, type Experts, routerScores, sparseExperts } from './experts.ts';
import { flattenTokens } from './heads.ts';
import type { ModelFamily } from './model.ts';
import { addHeadNorms } from './qwen3.ts';

export interface Qwen3MoeConfig extends DecoderConfig {
  readonly attentionBias: boolean;
  readonly experts: Experts;
  /** For each layer whether it has experts. */
  readonly sparse: readonly boolean[];
  /** The weights of a token's experts sum to one. */
  readonly normed: boolean;
  readonly balanceWeight: number;
}

export const qwen3Moe: ModelFamily<Qwen3MoeConfig> = {
  modelTypes: ['qwen3_moe'],
  parseConfig,

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at, layer) => {
      addLayerNorms(shapes, at, config.hiddenSize);
      addAttention(shapes, at, config, { input: config.attentionBias, output: config.attentionBias });
      addHeadNorms(shapes, at, config.headSize);
      if (config.sparse[layer]) addExperts(shapes, at, config.hiddenSize, config.experts);
      else addFeedForward(shapes, `${at}.mlp`, config.hiddenSize, config.intermediateSize);
    }),

  forward(b, config, inputs, weights, routings = []) {
    const { hiddenSize: D, vocabularySize: V, intermediateSize: F, attentionBias, experts } = config;
    const norm = rmsNormOf(b, weights, config.epsilon);
    const attendWithin = attenders(b, inputs);
    const options = { biases: { input: attentionBias, output: attentionBias }, headNorm: norm };
    const embedded = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
    const mixture = (h: typeof embedded, at: string) => {
      const scores = routerScores(b, weights, flattenTokens(b, h), at, experts);
      const routing = { scores, chosen: b.topMask(scores, experts.perToken) };
      routings.push(routing);
      return sparseExperts(b, weights, h, at, experts, routing.chosen, chosenWeights(b, routing, config.normed));
    };
    const x_BSD = residualStack(b, config.layers, embedded, (at, layer) => {
      const attend = attendWithin(config.windows[layer]);
      const feedForward = (h: typeof embedded) =>
        config.sparse[layer] ? mixture(h, at) : gatedFeedForward(b, weights, h, `${at}.mlp`, F);
      return [
        (x) => groupedAttention(b, config, inputs, weights, norm(x, `${at}.input_layernorm`), at, attend, options),
        (x) => feedForward(norm(x, `${at}.post_attention_layernorm`)),
      ];
    });
    return norm(inputs.wanted?.(x_BSD) ?? x_BSD, 'model.norm');
  },

  head: decoderHead,
  balance: (b, config, routings, inputs) => b.scale(switchBalance(b, routings, inputs), config.balanceWeight),
};

function parseConfig(json: unknown): Qwen3MoeConfig {
  const c = new ConfigFields(json);
  c.oneOf('hidden_act', ['silu'], 'silu');
  const config = parseDecoder(c, 'qwen3_moe');
  const window = c.flag('use_sliding_window', false) ? c.count('sliding_window', 4096) : undefined;
  const dense = c.has('mlp_only_layers') ? c.list('mlp_only_layers') : [];
  const step = c.count('decoder_sparse_step', 1);
  return {
    ...config,
    windows: new Array(config.layers).fill(window),
    attentionBias: c.flag('attention_bias', false),
    experts: {
      // transformers 5 writes the second name
      count: c.has('num_local_experts') ? c.count('num_local_experts') : c.count('num_experts', 128),
      perToken: c.count('num_experts_per_tok', 8),
      width: c.count('moe_intermediate_size', 768),
      router: 'mlp.gate',
      prefix: 'mlp.experts',
      names: ['gate_proj', 'up_proj', 'down_proj'],
    },
    sparse: Array.from({ length: config.layers }, (_, layer) => !dense.includes(layer) && (layer + 1) % step === 0),
    normed: c.flag('norm_topk_prob', false),
    balanceWeight: c.nonNegative('router_aux_loss_coef', 0.001),
  };
}
