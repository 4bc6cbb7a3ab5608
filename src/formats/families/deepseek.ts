// GGUF architecture "deepseek2": latent attention with keys and values woven into one projection, shared and routed experts.
import { CupelError } from '../../base/errors.ts';
import type { Gguf } from '../gguf.ts';
import { booleanAt, numberAt, required } from '../gguf-values.ts';
import type { ConfigJson } from '../weights.ts';
import { numberIn, optionalNumberIn, refuseUnless, tidy } from './config-values.ts';
import {
  decoderConfig,
  decoderMetadata,
  expertLinks,
  f32,
  feedForwardLinks,
  flag,
  layerNorm,
  layersOf,
  link,
  outerLinks,
  u32,
} from './decoder.ts';
import type { GgufFamily, Link, MetadataEntries, TensorMap, Weave } from './family.ts';
import { ropeOf } from './rope.ts';

const ARCHITECTURE = 'deepseek2';
/** llama.cpp's numbers for how a router's scores become weights. */
const SOFTMAX = 1;

export const deepseek2: GgufFamily = {
  architecture: ARCHITECTURE,
  modelTypes: ['deepseek_v2'],
  configFromGguf,
  metadataFromConfig,
  tensors,
  notes: (config) =>
    isGrouped(config)
      ? ['llama.cpp ranks groups of experts by their two best, DeepSeek-V2 by the best: some tokens meet other experts']
      : [],
};

function configFromGguf(gguf: Gguf): ConfigJson {
  const optional = (key: string) => numberAt(gguf.metadata, `${ARCHITECTURE}.${key}`);
  const number = (key: string) => required(optional(key), `${ARCHITECTURE}.${key}`);
  if ((optional('expert_gating_func') || SOFTMAX) !== SOFTMAX) {
    throw new CupelError('routers with sigmoid scores (DeepSeek-V3) are not supported', {
      place: { file: gguf.path, field: `${ARCHITECTURE}.expert_gating_func` },
      remedy: 'use a DeepSeek-V2 model',
    });
  }
  const rotary = number('rope.dimension_count');
  // files from before latent attention have the lengths of whole heads under these names
  const keys = optional('attention.key_length_mla') ?? number('attention.key_length');
  const values = optional('attention.value_length_mla') ?? number('attention.value_length');
  const groups = optional('expert_group_count') ?? 1;
  const { head_dim: _, ...config } = decoderConfig(gguf, ARCHITECTURE, 'deepseek_v2', 'DeepseekV2ForCausalLM');
  return {
    ...config,
    num_key_value_heads: config.num_attention_heads,
    attention_bias: false,
    q_lora_rank: optional('attention.q_lora_rank') ?? null,
    kv_lora_rank: number('attention.kv_lora_rank'),
    qk_nope_head_dim: keys - rotary,
    qk_rope_head_dim: rotary,
    v_head_dim: values,
    first_k_dense_replace: optional('leading_dense_block_count') ?? 0,
    n_routed_experts: number('expert_count'),
    n_shared_experts: number('expert_shared_count'),
    num_experts_per_tok: number('expert_used_count'),
    moe_intermediate_size: number('expert_feed_forward_length'),
    routed_scaling_factor: tidy(optional('expert_weights_scale') ?? 1),
    norm_topk_prob: booleanAt(gguf.metadata, `${ARCHITECTURE}.expert_weights_norm`) ?? false,
    n_group: groups,
    topk_group: optional('expert_group_used_count') ?? 1,
    topk_method: groups > 1 ? 'group_limited_greedy' : 'greedy',
    scoring_func: 'softmax',
    moe_layer_freq: 1,
    ...withLogMultiplier(config, optional('rope.scaling.yarn_log_multiplier')),
  };
}

/** GGUF has a tenth of `mscale_all_dim`, and takes `mscale` for the same. */
function withLogMultiplier(config: ConfigJson, multiplier: number | undefined): ConfigJson {
  if (multiplier === undefined || !config.rope_scaling) return {};
  const mscale = tidy(multiplier * 10);
  return { rope_scaling: { ...config.rope_scaling, mscale, mscale_all_dim: mscale } };
}

function metadataFromConfig(config: ConfigJson): MetadataEntries {
  const number = (field: string) => numberIn(config, field);
  const queryRank = optionalNumberIn(config, 'q_lora_rank');
  checkForLlama(config, queryRank);
  const latent = number('kv_lora_rank');
  const rotary = number('qk_rope_head_dim');
  const groups = numberIn(config, 'n_group', 1);
  const own: MetadataEntries = [
    // llama.cpp holds one latent head in its cache, and widens it to all heads
    ['attention.head_count_kv', u32(1)],
    ['attention.key_length', u32(latent + rotary)],
    ['attention.value_length', u32(latent)],
    ['attention.key_length_mla', u32(number('qk_nope_head_dim') + rotary)],
    ['attention.value_length_mla', u32(number('v_head_dim'))],
    ['attention.kv_lora_rank', u32(latent)],
    ...(queryRank === undefined ? [] : ([['attention.q_lora_rank', u32(queryRank)]] as MetadataEntries)),
    ['leading_dense_block_count', u32(numberIn(config, 'first_k_dense_replace', 0))],
    ['expert_count', u32(number('n_routed_experts'))],
    ['expert_used_count', u32(number('num_experts_per_tok'))],
    ['expert_shared_count', u32(number('n_shared_experts'))],
    ['expert_feed_forward_length', u32(number('moe_intermediate_size'))],
    ['expert_weights_scale', f32(numberIn(config, 'routed_scaling_factor', 1))],
    ['expert_weights_norm', flag(config.norm_topk_prob === true)],
    ['expert_gating_func', u32(SOFTMAX)],
    ...(isGrouped(config)
      ? ([
          ['expert_group_count', u32(groups)],
          ['expert_group_used_count', u32(number('topk_group'))],
        ] as MetadataEntries)
      : []),
    ...logMultiplier(config),
  ];
  const entries = [
    ...decoderMetadata(ARCHITECTURE, { ...config, head_dim: rotary }),
    ...own.map(([key, entry]): MetadataEntries[0] => [`${ARCHITECTURE}.${key}`, entry]),
  ];
  return [...new Map(entries)];
}

const isGrouped = (config: ConfigJson): boolean =>
  config.topk_method === 'group_limited_greedy' && numberIn(config, 'n_group', 1) > 1;

function logMultiplier(config: ConfigJson): MetadataEntries {
  const rope = ropeOf(config);
  const all = rope.mscale_all_dim;
  if (rope.type !== 'yarn' || typeof all !== 'number') return [];
  refuseUnless(rope.mscale === all, 'rope_scaling.mscale', 'llama.cpp takes it to be equal to mscale_all_dim');
  return [['rope.scaling.yarn_log_multiplier', f32(all / 10)]];
}

/** llama.cpp tells the variants without a query rank by their number of layers. */
function checkForLlama(config: ConfigJson, queryRank: number | undefined): void {
  const layers = numberIn(config, 'num_hidden_layers');
  const lite = layers === 26 || layers === 27;
  refuseUnless(
    lite === (queryRank === undefined),
    'q_lora_rank',
    'llama.cpp knows models without a query rank only with 26 or 27 layers (DeepSeek-V2-Lite), and those only without one',
  );
  refuseUnless(numberIn(config, 'moe_layer_freq', 1) === 1, 'moe_layer_freq', 'only 1 can be written to GGUF');
  refuseUnless((config.scoring_func ?? 'softmax') === 'softmax', 'scoring_func', 'only softmax is supported');
}

function tensors(config: ConfigJson): TensorMap {
  const dense = numberIn(config, 'first_k_dense_replace', 0);
  const links = layersOf(config).flatMap((layer) => [
    layerNorm(config, layer, 'input_layernorm', 'attn_norm'),
    ...attention(config, layer),
    layerNorm(config, layer, 'post_attention_layernorm', 'ffn_norm'),
    ...(layer < dense ? denseBlock(config, layer) : sparseBlock(config, layer)),
  ]);
  return {
    links: [...outerLinks(config), ...links],
    weaves: layersOf(config).map((l) => weave(config, l)),
    computed: [],
  };
}

function attention(config: ConfigJson, layer: number): Link[] {
  const number = (field: string) => numberIn(config, field);
  const [width, heads, latent] = [number('hidden_size'), number('num_attention_heads'), number('kv_lora_rank')];
  const [plain, rotary, values] = [number('qk_nope_head_dim'), number('qk_rope_head_dim'), number('v_head_dim')];
  const rank = optionalNumberIn(config, 'q_lora_rank');
  const to = (hf: string, gguf: string, shape: readonly number[], role: Link['role'] = 'matrix') =>
    link(`model.layers.${layer}.self_attn.${hf}.weight`, `blk.${layer}.${gguf}.weight`, shape, role);
  const queries = heads * (plain + rotary);
  return [
    ...(rank === undefined
      ? [to('q_proj', 'attn_q', [queries, width])]
      : [
          to('q_a_proj', 'attn_q_a', [rank, width]),
          to('q_a_layernorm', 'attn_q_a_norm', [rank], 'norm'),
          to('q_b_proj', 'attn_q_b', [queries, rank]),
        ]),
    to('kv_a_proj_with_mqa', 'attn_kv_a_mqa', [latent + rotary, width]),
    to('kv_a_layernorm', 'attn_kv_a_norm', [latent], 'norm'),
    { ...to('kv_b_proj', 'attn_kv_b', [heads * (plain + values), latent]), optional: true, legacy: true },
    to('o_proj', 'attn_output', [width, heads * values]),
  ];
}

/** kv_b_proj [H*(n+v), L] is, in GGUF, the keys' part transposed [H, L, n] and the values' part [H, v, L]. */
function weave(config: ConfigJson, layer: number): Weave {
  const number = (field: string) => numberIn(config, field);
  const [H, L, n, v] = [
    number('num_attention_heads'),
    number('kv_lora_rank'),
    number('qk_nope_head_dim'),
    number('v_head_dim'),
  ];
  const keys = (whole: Float32Array): Float32Array => {
    const out = new Float32Array(H * L * n);
    for (let h = 0; h < H; h++)
      for (let i = 0; i < n; i++)
        for (let l = 0; l < L; l++) out[(h * L + l) * n + i] = whole[(h * (n + v) + i) * L + l];
    return out;
  };
  const values = (whole: Float32Array): Float32Array => {
    const out = new Float32Array(H * v * L);
    for (let h = 0; h < H; h++) {
      const from = (h * (n + v) + n) * L;
      out.set(whole.subarray(from, from + v * L), h * v * L);
    }
    return out;
  };
  const join = ([k, rest]: readonly Float32Array[]): Float32Array => {
    const out = new Float32Array(H * (n + v) * L);
    for (let h = 0; h < H; h++) {
      for (let i = 0; i < n; i++) for (let l = 0; l < L; l++) out[(h * (n + v) + i) * L + l] = k[(h * L + l) * n + i];
      out.set(rest.subarray(h * v * L, (h + 1) * v * L), (h * (n + v) + n) * L);
    }
    return out;
  };
  return {
    hf: `model.layers.${layer}.self_attn.kv_b_proj.weight`,
    shape: [H * (n + v), L],
    role: 'matrix',
    parts: [
      { gguf: `blk.${layer}.attn_k_b.weight`, shape: [H, L, n], cut: keys },
      { gguf: `blk.${layer}.attn_v_b.weight`, shape: [H, v, L], cut: values },
    ],
    join,
  };
}

function denseBlock(config: ConfigJson, layer: number): Link[] {
  const inner = numberIn(config, 'intermediate_size');
  return feedForwardLinks(numberIn(config, 'hidden_size'), inner, `model.layers.${layer}.mlp.`, `blk.${layer}.ffn_`);
}

function sparseBlock(config: ConfigJson, layer: number): Link[] {
  const block = `model.layers.${layer}.mlp.`;
  const width = numberIn(config, 'hidden_size');
  const inner = numberIn(config, 'moe_intermediate_size');
  const shared = inner * numberIn(config, 'n_shared_experts');
  return [
    ...expertLinks(
      config,
      layer,
      { width, inner, experts: numberIn(config, 'n_routed_experts') },
      {
        router: `${block}gate.weight`,
        expert: (index) => `${block}experts.${index}.`,
        gate: 'gate_proj',
        up: 'up_proj',
        down: 'down_proj',
      },
    ),
    ...feedForwardLinks(width, shared, `${block}shared_experts.`, `blk.${layer}.ffn_`, '_shexp'),
  ];
}
