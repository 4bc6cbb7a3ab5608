// Gemma 3 (text): windows in most layers, GeGLU, scaled embeddings, norms of 1 + w before and after each block.
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
  type Norm,
  parseDecoder,
  residualStack,
} from './decoder.ts';
import type { ModelFamily } from './model.ts';
import { addHeadNorms } from './qwen3.ts';
import { parseRope, type Rope } from './rope.ts';

export interface Gemma3Config extends DecoderConfig {
  readonly attentionBias: boolean;
  /** Rotary positions of the layers with a window; `rope` is that of the others. */
  readonly localRope: Rope;
  /** Scores are divided by its root. */
  readonly queryScale: number;
  readonly softCap: number | null;
}

const GLOBAL_THETA = 1_000_000;
const LOCAL_THETA = 10_000;

export const gemma3: ModelFamily<Gemma3Config> = {
  modelTypes: ['gemma3_text'],
  // the 270M model diverged at 1e-3 with LoRA alpha 128 after 64 steps; at 3e-4 it learned faster, too
  rateShare: 0.3,
  parseConfig,

  weightShapes: (config) =>
    decoderShapes(config, (shapes, at) => {
      addLayerNorms(shapes, at, config.hiddenSize);
      shapes.set(`${at}.pre_feedforward_layernorm.weight`, [config.hiddenSize]);
      shapes.set(`${at}.post_feedforward_layernorm.weight`, [config.hiddenSize]);
      addAttention(shapes, at, config, { input: config.attentionBias, output: config.attentionBias });
      addHeadNorms(shapes, at, config.headSize);
      addFeedForward(shapes, `${at}.mlp`, config.hiddenSize, config.intermediateSize);
    }),

  forward(b, config, inputs, weights) {
    const { hiddenSize: D, vocabularySize: V, intermediateSize: F, attentionBias, queryScale } = config;
    const norm: Norm = (x, name) =>
      b.rmsNorm(x, b.offset(weights.weight(`${name}.weight`, [x.shape.at(-1) as number]), 1), config.epsilon);
    const attendWithin = attenders(b, inputs);
    const shared = {
      biases: { input: attentionBias, output: attentionBias },
      headNorm: norm,
      scale: queryScale ** -0.5,
    };
    const embedded = b.scale(b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids), Math.sqrt(D));
    const x = residualStack(
      b,
      config.layers,
      embedded,
      (at, layer) => {
        const window = config.windows[layer];
        const rope =
          window === undefined ? { name: 'rope', rope: config.rope } : { name: 'rope.local', rope: config.localRope };
        const [attend, options] = [attendWithin(window), { ...shared, rope }];
        const attention = (x: typeof embedded) =>
          groupedAttention(b, config, inputs, weights, norm(x, `${at}.input_layernorm`), at, attend, options);
        const feedForward = (x: typeof embedded) =>
          gatedFeedForward(b, weights, norm(x, `${at}.pre_feedforward_layernorm`), `${at}.mlp`, F, {
            activation: b.geluTanh,
          });
        return [
          (x) => norm(attention(x), `${at}.post_attention_layernorm`),
          (x) => norm(feedForward(x), `${at}.post_feedforward_layernorm`),
        ];
      },
      inputs.wanted,
    );
    return norm(x, 'model.norm');
  },

  head: (config) => ({ ...decoderHead(config), softCap: config.softCap }),
};

function parseConfig(json: unknown): Gemma3Config {
  // what config.json leaves out has other values than in the other families
  const c = new ConfigFields({ head_dim: 256, tie_word_embeddings: true, ...(json as object) });
  c.oneOf('hidden_activation', ['gelu_pytorch_tanh'], 'gelu_pytorch_tanh');
  if (c.has('attn_logit_softcapping')) throw c.wrong('attn_logit_softcapping', 'soft caps of scores are not supported');
  if (c.flag('use_bidirectional_attention', false))
    throw c.wrong('use_bidirectional_attention', 'attention to later tokens is not supported');
  const { rope, localRope } = parseRopes(c);
  const config = parseDecoder(c, 'gemma3_text', rope);
  const pattern = c.count('sliding_window_pattern', 6);
  const types = c.has('layer_types') ? c.list('layer_types') : null;
  const window = c.count('sliding_window', 4096);
  return {
    ...config,
    windows: Array.from({ length: config.layers }, (_, layer) => {
      const sliding = types ? types[layer] === 'sliding_attention' : (layer + 1) % pattern !== 0;
      return sliding ? window : undefined;
    }),
    attentionBias: c.flag('attention_bias', false),
    localRope,
    queryScale: c.positive('query_pre_attn_scalar', 256),
    softCap: c.has('final_logit_softcapping') ? c.positive('final_logit_softcapping') : null,
  };
}

/** transformers 5 has one entry for each kind of layer; before, scaling was for the layers without a window only. */
function parseRopes(c: ConfigFields): { rope: Rope; localRope: Rope } {
  const width = c.count('head_dim');
  const nested = c.has('rope_parameters') ? c.object('rope_parameters') : null;
  const of = (kind: string, field: string, theta: number): Rope => {
    const own = nested?.has(kind) ? { rope_parameters: nested.raw(kind) } : {};
    const scaling = kind === 'full_attention' && c.has('rope_scaling') ? { rope_scaling: c.raw('rope_scaling') } : {};
    return parseRope(new ConfigFields({ rope_theta: c.positive(field, theta), ...scaling, ...own }), width);
  };
  return {
    rope: of('full_attention', 'rope_theta', GLOBAL_THETA),
    localRope: of('sliding_attention', 'rope_local_base_freq', LOCAL_THETA),
  };
}
