// GGUF architecture "gemma3": norms stored as 1 + w, four norms a layer, query and key norms, sliding windows.
import type { Gguf } from '../gguf.ts';
import type { GgufEntry } from '../gguf-metadata.ts';
import { numberAt } from '../gguf-values.ts';
import type { ConfigJson } from '../weights.ts';
import { headSize, numberIn, optionalNumberIn, refuseUnless, tidy } from './config-values.ts';
import {
  attentionLinks,
  decoderConfig,
  decoderMetadata,
  f32,
  feedForwardLinks,
  layerNorm,
  layersOf,
  link,
  outerLinks,
  u32,
} from './decoder.ts';
import type { GgufFamily, MetadataEntries, TensorMap } from './family.ts';

const ARCHITECTURE = 'gemma3';
/** Every sixth layer sees the whole context unless a model says otherwise. */
const PATTERN = 6;
/** Rotary base of the layers with a window, likewise. */
const LOCAL_THETA = 10_000;

export const gemma3: GgufFamily = {
  architecture: ARCHITECTURE,
  modelTypes: ['gemma3_text'],
  configFromGguf,
  metadataFromConfig,
  tensors,
};

function configFromGguf(gguf: Gguf): ConfigJson {
  const { hidden_act: _, ...config } = decoderConfig(gguf, ARCHITECTURE, 'gemma3_text', 'Gemma3ForCausalLM');
  const number = (key: string) => numberAt(gguf.metadata, `${ARCHITECTURE}.${key}`);
  return {
    ...config,
    hidden_activation: 'gelu_pytorch_tanh',
    attention_bias: false,
    attn_logit_softcapping: null,
    final_logit_softcapping: number('final_logit_softcapping') ?? null,
    layer_types: layerTypes(gguf, config),
    query_pre_attn_scalar: queryScale(config),
    rope_local_base_freq: tidy(number('rope.freq_base_swa') ?? LOCAL_THETA),
    sliding_window: number('attention.sliding_window') ?? 4096,
    sliding_window_pattern: PATTERN,
  };
}

const SLIDING = 'sliding_attention';
const FULL = 'full_attention';

function layerTypes(gguf: Gguf, config: ConfigJson): string[] {
  const key = `${ARCHITECTURE}.attention.sliding_window_pattern`;
  const entry = gguf.metadata.get(key);
  if (entry?.type === 'array') return entry.value.map((windowed) => (windowed ? SLIDING : FULL));
  return everyNth(config, numberAt(gguf.metadata, key) ?? PATTERN);
}

const everyNth = (config: ConfigJson, pattern: number): string[] =>
  layersOf(config).map((layer) => ((layer + 1) % pattern === 0 ? FULL : SLIDING));

/** The 27B model scales queries by its width per head, all others by the head size; llama.cpp tells it by its 62 layers. */
function queryScale(config: ConfigJson): number {
  if (config.num_hidden_layers === 62) return numberIn(config, 'hidden_size') / numberIn(config, 'num_attention_heads');
  return headSize(config);
}

function metadataFromConfig(config: ConfigJson): MetadataEntries {
  checkForLlama(config);
  const cap = optionalNumberIn(config, 'final_logit_softcapping');
  const defaults = everyNth(config, PATTERN);
  const layers = Array.isArray(config.layer_types)
    ? config.layer_types
    : everyNth(config, numberIn(config, 'sliding_window_pattern', PATTERN));
  const windowed = layers.map((type) => type === SLIDING);
  const own: MetadataEntries = [
    [`${ARCHITECTURE}.attention.sliding_window`, u32(numberIn(config, 'sliding_window', 4096))],
    [`${ARCHITECTURE}.rope.freq_base_swa`, f32(localTheta(config))],
  ];
  if (layers.some((type, i) => type !== defaults[i])) {
    const pattern: GgufEntry = { type: 'array', items: 'bool', value: windowed };
    own.push([`${ARCHITECTURE}.attention.sliding_window_pattern`, pattern]);
  }
  if (cap !== undefined) own.push([`${ARCHITECTURE}.final_logit_softcapping`, f32(cap)]);
  const shared = decoderMetadata(ARCHITECTURE, { rope_theta: 1_000_000, ...config });
  return [...shared.filter(([key]) => key !== `${ARCHITECTURE}.rope.dimension_count`), ...own];
}

function localTheta(config: ConfigJson): number {
  const nested = (
    config.rope_parameters as { sliding_attention?: { rope_theta?: number; rope_type?: string } } | undefined
  )?.sliding_attention;
  refuseUnless((nested?.rope_type ?? 'default') === 'default', 'rope_parameters.sliding_attention', 'cannot be scaled');
  return nested?.rope_theta ?? numberIn(config, 'rope_local_base_freq', LOCAL_THETA);
}

function checkForLlama(config: ConfigJson): void {
  const scale = numberIn(config, 'query_pre_attn_scalar', headSize(config));
  refuseUnless(scale === queryScale(config), 'query_pre_attn_scalar', `llama.cpp takes ${queryScale(config)} here`);
  refuseUnless((config.attn_logit_softcapping ?? null) === null, 'attn_logit_softcapping', 'llama.cpp has none here');
  refuseUnless(
    config.use_bidirectional_attention !== true,
    'use_bidirectional_attention',
    'llama.cpp attends backwards',
  );
  refuseUnless(config.attention_bias !== true, 'attention_bias', 'llama.cpp has no biases here');
}

function tensors(config: ConfigJson): TensorMap {
  const size = [headSize(config)];
  const links = layersOf(config).flatMap((layer) => {
    const names = [`model.layers.${layer}.self_attn.`, `blk.${layer}.attn_`];
    return [
      layerNorm(config, layer, 'input_layernorm', 'attn_norm', 1),
      ...attentionLinks(config, layer, false),
      link(`${names[0]}q_norm.weight`, `${names[1]}q_norm.weight`, size, 'norm', { shift: 1 }),
      link(`${names[0]}k_norm.weight`, `${names[1]}k_norm.weight`, size, 'norm', { shift: 1 }),
      layerNorm(config, layer, 'post_attention_layernorm', 'post_attention_norm', 1),
      layerNorm(config, layer, 'pre_feedforward_layernorm', 'ffn_norm', 1),
      ...feedForwardLinks(
        numberIn(config, 'hidden_size'),
        numberIn(config, 'intermediate_size'),
        `model.layers.${layer}.mlp.`,
        `blk.${layer}.ffn_`,
      ),
      layerNorm(config, layer, 'post_feedforward_layernorm', 'post_ffw_norm', 1),
    ];
  });
  return { links: [...outerLinks(config, 1), ...links], weaves: [], computed: [] };
}
