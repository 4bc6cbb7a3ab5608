// Llama 2 and 3 and models of the same build: SmolLM2, Mistral (which looks back over a window).
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
  oneWindow,
  parseDecoder,
  residualStack,
  rmsNormOf,
} from './decoder.ts';
import type { ModelFamily } from './model.ts';

export interface LlamaConfig extends DecoderConfig {
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
}

export const llama: ModelFamily<LlamaConfig> = {
  modelTypes: ['llama', 'mistral'],

  parseConfig(json) {
    const c = new ConfigFields(json);
    c.oneOf('hidden_act', ['silu'], 'silu');
    const type = c.oneOf('model_type', ['llama', 'mistral'], 'llama');
    const config = parseDecoder(c, type);
    return {
      ...config,
      windows: type === 'mistral' ? oneWindow(c, config.layers) : config.windows,
      attentionBias: c.flag('attention_bias', false),
      mlpBias: c.flag('mlp_bias', false),
    };
  },

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at) => {
      addLayerNorms(shapes, at, config.hiddenSize);
      addAttention(shapes, at, config, { input: config.attentionBias, output: config.attentionBias });
      addFeedForward(shapes, `${at}.mlp`, config.hiddenSize, config.intermediateSize, config.mlpBias);
    }),

  forward(b, config, inputs, weights) {
    const { hiddenSize: D, vocabularySize: V, intermediateSize: F, attentionBias, mlpBias, windows } = config;
    const norm = rmsNormOf(b, weights, config.epsilon);
    const attendWithin = attenders(b, inputs);
    const biases = { input: attentionBias, output: attentionBias };
    const embedded = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
    const x = residualStack(
      b,
      config.layers,
      embedded,
      (at, layer) => {
        const attend = attendWithin(windows[layer]);
        return [
          (x) => groupedAttention(b, config, inputs, weights, norm(x, `${at}.input_layernorm`), at, attend, { biases }),
          (x) =>
            gatedFeedForward(b, weights, norm(x, `${at}.post_attention_layernorm`), `${at}.mlp`, F, { bias: mlpBias }),
        ];
      },
      inputs.wanted,
    );
    return norm(x, 'model.norm');
  },

  head: decoderHead,
};
