// Qwen2 and Qwen2.5: as Llama, with biases on queries, keys and values, and windows in some layers if the config says so.
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
} from './decoder.ts';
import type { ModelFamily } from './model.ts';

const BIASES = { input: true, output: false };

export const qwen2: ModelFamily<DecoderConfig> = {
  modelTypes: ['qwen2'],

  parseConfig(json) {
    const c = new ConfigFields(json);
    c.oneOf('hidden_act', ['silu'], 'silu');
    const config = parseDecoder(c, 'qwen2');
    return { ...config, windows: qwenWindows(c, config.layers) };
  },

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at) => {
      addLayerNorms(shapes, at, config.hiddenSize);
      addAttention(shapes, at, config, BIASES);
      addFeedForward(shapes, `${at}.mlp`, config.hiddenSize, config.intermediateSize);
    }),

  forward(b, config, inputs, weights) {
    const { hiddenSize: D, vocabularySize: V, intermediateSize: F } = config;
    const norm = rmsNormOf(b, weights, config.epsilon);
    const attendWithin = attenders(b, inputs);
    const embedded = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
    const x = residualStack(
      b,
      config.layers,
      embedded,
      (at, layer) => {
        const attend = attendWithin(config.windows[layer]);
        const options = { biases: BIASES };
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
