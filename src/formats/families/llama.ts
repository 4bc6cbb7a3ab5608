// GGUF architecture "llama": Llama 2 and 3, SmolLM2, Mistral, and Mixtral with its experts.
import type { Gguf } from '../gguf.ts';
import { numberAt, required } from '../gguf-values.ts';
import type { ConfigJson } from '../weights.ts';
import { numberIn, optionalNumberIn, refuseUnless } from './config-values.ts';
import {
  attentionLinks,
  decoderConfig,
  decoderMetadata,
  expertLinks,
  feedForwardLinks,
  layerNorm,
  layersOf,
  outerLinks,
  u32,
} from './decoder.ts';
import type { GgufFamily, Link, MetadataEntries, TensorMap } from './family.ts';
import { llama3Factors } from './rope.ts';

const ARCHITECTURE = 'llama';

export const llama: GgufFamily = {
  architecture: ARCHITECTURE,
  modelTypes: ['llama', 'mistral', 'mixtral'],
  configFromGguf,
  metadataFromConfig,
  tensors,
};

function configFromGguf(gguf: Gguf): ConfigJson {
  const experts = numberAt(gguf.metadata, 'llama.expert_count') ?? 0;
  const biases = {
    attention_bias: gguf.tensors.has('blk.0.attn_q.bias'),
    mlp_bias: gguf.tensors.has('blk.0.ffn_gate.bias'),
  };
  if (experts === 0) return { ...decoderConfig(gguf, ARCHITECTURE, 'llama', 'LlamaForCausalLM'), ...biases };
  return {
    ...decoderConfig(gguf, ARCHITECTURE, 'mixtral', 'MixtralForCausalLM'),
    num_local_experts: experts,
    num_experts_per_tok: required(numberAt(gguf.metadata, 'llama.expert_used_count'), 'llama.expert_used_count'),
  };
}

function metadataFromConfig(config: ConfigJson): MetadataEntries {
  refuseUnless((config.hidden_act ?? 'silu') === 'silu', 'hidden_act', 'llama.cpp takes silu here');
  // Mistral's window is not in this architecture: within it, attention to everything is the same
  const context = numberIn(config, 'max_position_embeddings');
  const window = optionalNumberIn(config, 'sliding_window') ?? context;
  const entries = decoderMetadata(ARCHITECTURE, { ...config, max_position_embeddings: Math.min(context, window) });
  const experts = optionalNumberIn(config, 'num_local_experts');
  if (experts === undefined) return entries;
  return [
    ...entries,
    ['llama.expert_count', u32(experts)],
    ['llama.expert_used_count', u32(numberIn(config, 'num_experts_per_tok'))],
  ];
}

function tensors(config: ConfigJson): TensorMap {
  const links = layersOf(config).flatMap((layer) => [
    layerNorm(config, layer, 'input_layernorm', 'attn_norm'),
    ...attentionLinks(config, layer, true),
    layerNorm(config, layer, 'post_attention_layernorm', 'ffn_norm'),
    ...feedForward(config, layer),
  ]);
  return { links: [...outerLinks(config), ...links], weaves: [], computed: llama3Factors(config) };
}

function feedForward(config: ConfigJson, layer: number): Link[] {
  const width = numberIn(config, 'hidden_size');
  const inner = numberIn(config, 'intermediate_size');
  const experts = optionalNumberIn(config, 'num_local_experts');
  if (experts === undefined) return feedForwardLinks(width, inner, `model.layers.${layer}.mlp.`, `blk.${layer}.ffn_`);
  const block = `model.layers.${layer}.block_sparse_moe.`;
  return expertLinks(
    config,
    layer,
    { width, inner, experts },
    { router: `${block}gate.weight`, expert: (index) => `${block}experts.${index}.`, gate: 'w1', down: 'w2', up: 'w3' },
  );
}
