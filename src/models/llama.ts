// Llama 2 and 3, and models of the same build such as SmolLM2: grouped-query attention, rotary positions, gated feed-forward layers.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import { type Attend, attendOver } from './attention.ts';
import { ConfigFields } from './config-fields.ts';
import { joinHeads, splitHeads } from './heads.ts';
import type { ModelConfig, ModelFamily, ModelInputs, Weights } from './model.ts';
import { parseRope, type Rope, ropeTables } from './rope.ts';

export interface LlamaConfig extends ModelConfig {
  readonly heads: number;
  readonly keyValueHeads: number;
  readonly headSize: number;
  /** F, the width of the feed-forward layer. */
  readonly intermediateSize: number;
  readonly epsilon: number;
  readonly rope: Rope;
  readonly attentionBias: boolean;
  readonly mlpBias: boolean;
}

export const llama: ModelFamily<LlamaConfig> = {
  modelTypes: ['llama'],
  parseConfig,
  weightShapes,
  forward,
  head: (config) => ({ weight: config.tiedEmbeddings ? EMBEDDING : 'lm_head.weight', softCap: null }),
};

const EMBEDDING = 'model.embed_tokens.weight';

function parseConfig(json: unknown): LlamaConfig {
  const c = new ConfigFields(json);
  c.oneOf('hidden_act', ['silu'], 'silu');
  const heads = c.count('num_attention_heads');
  const keyValueHeads = c.count('num_key_value_heads', heads);
  if (heads % keyValueHeads !== 0)
    throw c.wrong('num_key_value_heads', `${keyValueHeads} does not divide ${heads} heads`);
  const hiddenSize = c.count('hidden_size');
  const headSize = c.count('head_dim', hiddenSize / heads);
  return {
    modelType: 'llama',
    hiddenSize,
    layers: c.count('num_hidden_layers'),
    vocabularySize: c.count('vocab_size'),
    maxPositions: c.count('max_position_embeddings', 2048),
    tiedEmbeddings: c.flag('tie_word_embeddings', false),
    heads,
    keyValueHeads,
    headSize,
    intermediateSize: c.count('intermediate_size'),
    epsilon: c.positive('rms_norm_eps', 1e-6),
    rope: parseRope(c, headSize),
    attentionBias: c.flag('attention_bias', false),
    mlpBias: c.flag('mlp_bias', false),
  };
}

function weightShapes(config: LlamaConfig): ReadonlyMap<string, readonly number[]> {
  const { hiddenSize: D, intermediateSize: F, vocabularySize: V } = config;
  const Q = config.heads * config.headSize;
  const K = config.keyValueHeads * config.headSize;
  const shapes = new Map<string, readonly number[]>([[EMBEDDING, [V, D]]]);
  const projection = (name: string, out: number, width: number, bias: boolean) => {
    shapes.set(`${name}.weight`, [out, width]);
    if (bias) shapes.set(`${name}.bias`, [out]);
  };
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}`;
    shapes.set(`${at}.input_layernorm.weight`, [D]);
    shapes.set(`${at}.post_attention_layernorm.weight`, [D]);
    projection(`${at}.self_attn.q_proj`, Q, D, config.attentionBias);
    projection(`${at}.self_attn.k_proj`, K, D, config.attentionBias);
    projection(`${at}.self_attn.v_proj`, K, D, config.attentionBias);
    projection(`${at}.self_attn.o_proj`, D, Q, config.attentionBias);
    projection(`${at}.mlp.gate_proj`, F, D, config.mlpBias);
    projection(`${at}.mlp.up_proj`, F, D, config.mlpBias);
    projection(`${at}.mlp.down_proj`, D, F, config.mlpBias);
  }
  shapes.set('model.norm.weight', [D]);
  if (!config.tiedEmbeddings) shapes.set('lm_head.weight', [V, D]);
  return shapes;
}

function forward(b: Builder, config: LlamaConfig, inputs: ModelInputs, weights: Weights): Value {
  const { hiddenSize: D, vocabularySize: V, epsilon } = config;
  const norm = (x: Value, name: string) => b.rmsNorm(x, weights.weight(`${name}.weight`, [D]), epsilon);
  const attend = attendOver(b, inputs);
  let x_BSD = b.gather(weights.weight(EMBEDDING, [V, D]), inputs.ids);
  for (let layer = 0; layer < config.layers; layer++) {
    const at = `model.layers.${layer}`;
    b.scope(`layers.${layer}`, () => {
      x_BSD = b.add(x_BSD, selfAttention(b, config, inputs, weights, norm(x_BSD, `${at}.input_layernorm`), at, attend));
      x_BSD = b.add(x_BSD, feedForward(b, config, weights, norm(x_BSD, `${at}.post_attention_layernorm`), at));
    });
  }
  return norm(x_BSD, 'model.norm');
}

function selfAttention(
  b: Builder,
  config: LlamaConfig,
  { positions }: ModelInputs,
  weights: Weights,
  h_BSD: Value,
  at: string,
  attend: Attend,
): Value {
  const { heads, keyValueHeads, headSize, attentionBias: bias } = config;
  const project = (name: string, out: number) => ({ name: `${at}.self_attn.${name}`, out, bias });
  const [q, k, v] = weights.linear(h_BSD, [
    project('q_proj', heads * headSize),
    project('k_proj', keyValueHeads * headSize),
    project('v_proj', keyValueHeads * headSize),
  ]);
  const { cos, sin } = ropeTables(b, 'rope', config.rope, config.maxPositions);
  const q_BHSd = b.rope(splitHeads(b, q, heads), positions, cos, sin);
  const k_BGSd = b.rope(splitHeads(b, k, keyValueHeads), positions, cos, sin);
  const o_BHSd = attend(q_BHSd, k_BGSd, splitHeads(b, v, keyValueHeads), headSize ** -0.5);
  return weights.linear(joinHeads(b, o_BHSd), [project('o_proj', config.hiddenSize)])[0];
}

function feedForward(b: Builder, config: LlamaConfig, weights: Weights, h_BSD: Value, at: string): Value {
  const { hiddenSize, intermediateSize, mlpBias: bias } = config;
  const project = (name: string, out: number) => ({ name: `${at}.mlp.${name}`, out, bias });
  const [gate, up] = weights.linear(h_BSD, [
    project('gate_proj', intermediateSize),
    project('up_proj', intermediateSize),
  ]);
  return weights.linear(b.mul(b.silu(gate), up), [project('down_proj', hiddenSize)])[0];
}
