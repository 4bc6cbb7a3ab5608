// Qwen3: as Llama, with queries and keys normed head by head.
import { attenders } from './attention.ts';
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
  qwenWindows,
  residualStack,
  rmsNormOf,
  type WeightShapes,
} from './decoder.ts';
import type { ModelFamily } from './model.ts';

export interface Qwen3Config extends DecoderConfig {
  readonly attentionBias: boolean;
}

export const qwen3: ModelFamily<Qwen3Config> = {
  modelTypes: ['qwen3'],

  parseConfig(json) {
    const c = new ConfigFields(json);
    c.oneOf('hidden_act', ['silu'], 'silu');
    const config = parseDecoder(c, 'qwen3');
    return { ...config, windows: qwenWindows(c, config.layers), attentionBias: c.flag('attention_bias', false) };
  },

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at) => {
      addLayerNorms(shapes, at, config.hiddenSize);
      addAttention(shapes, at, config, { input: config.attentionBias, output: config.attentionBias });
      addHeadNorms(shapes, at, config.headSize);
      addFeedForward(shapes, `${at}.mlp`, config.hiddenSize, config.intermediateSize);
    }),

  forward(b, config, inputs, weights) {
    const { hiddenSize: D, vocabularySize: V, intermediateSize: F, attentionBias } = config;
    const norm = rmsNormOf(b, weights, config.epsilon);
    const attendWithin = attenders(b, inputs);
    const options = { biases: { input: attentionBias, output: attentionBias }, headNorm: norm };
    const embedded = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
    const x = residualStack(
      b,
      config.layers,
      embedded,
      (at, layer) => {
        const attend = attendWithin(config.windows[layer]);
        return [
          (x) => groupedAttention(b, config, inputs, weights, norm(x, `${at}.input_layernorm`), at, attend, options),
          (x) => gatedFeedForward(b, weights, norm(x, `${at}.post_attention_layernorm`), `${at}.mlp`, F),
        ];
      },
      inputs.wanted,
    );
    return norm(x, 'model.norm');
  },

  head: decoderHead,
};

/** The norms of queries and keys, shared by all heads of a layer. */
export function addHeadNorms(shapes: WeightShapes, at: string, headSize: number): void {
  shapes.set(`${at}.self_attn.q_norm.weight`, [headSize]);
  shapes.set(`${at}.self_attn.k_norm.weight`, [headSize]);
}
