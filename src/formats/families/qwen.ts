// GGUF architectures "qwen2", "qwen3" and "qwen3moe": biases in Qwen2, query and key norms in Qwen3, experts in Qwen3-MoE.
import type { Gguf } from '../gguf.ts';
import { numberAt, required } from '../gguf-values.ts';
import type { ConfigJson } from '../weights.ts';
import { headSize, numberIn, refuseSlidingWindows, refuseUnless } from './config-values.ts';
import {
  attentionLinks,
  decoderConfig,
  decoderMetadata,
  expertLinks,
  feedForwardLinks,
  layerNorm,
  layersOf,
  link,
  outerLinks,
  u32,
} from './decoder.ts';
import type { GgufFamily, Link, MetadataEntries, TensorMap } from './family.ts';

export const qwen2: GgufFamily = {
  architecture: 'qwen2',
  modelTypes: ['qwen2'],
  configFromGguf: (gguf) => decoderConfig(gguf, 'qwen2', 'qwen2', 'Qwen2ForCausalLM'),
  metadataFromConfig: (config) => denseMetadata('qwen2', config),
  tensors: (config) => tensorMap(config, (layer) => denseBlock(config, layer)),
};

export const qwen3: GgufFamily = {
  architecture: 'qwen3',
  modelTypes: ['qwen3'],
  configFromGguf: (gguf) => ({ ...decoderConfig(gguf, 'qwen3', 'qwen3', 'Qwen3ForCausalLM'), attention_bias: false }),
  metadataFromConfig: (config) => denseMetadata('qwen3', config),
  tensors: (config) => tensorMap(config, (layer) => [...headNorms(config, layer), ...denseBlock(config, layer)]),
};

export const qwen3moe: GgufFamily = {
  architecture: 'qwen3moe',
  modelTypes: ['qwen3_moe'],
  configFromGguf: moeConfig,
  metadataFromConfig: moeMetadata,
  tensors: (config) => tensorMap(config, (layer) => [...headNorms(config, layer), ...sparseBlock(config, layer)]),
};

function denseMetadata(architecture: string, config: ConfigJson): MetadataEntries {
  refuseSlidingWindows(config);
  return decoderMetadata(architecture, config);
}

function moeMetadata(config: ConfigJson): MetadataEntries {
  refuseSlidingWindows(config);
  const dense = Array.isArray(config.mlp_only_layers) && config.mlp_only_layers.length > 0;
  refuseUnless(!dense, 'mlp_only_layers', 'llama.cpp wants experts in every layer');
  refuseUnless(numberIn(config, 'decoder_sparse_step', 1) === 1, 'decoder_sparse_step', 'llama.cpp wants 1');
  refuseUnless(config.norm_topk_prob === true, 'norm_topk_prob', 'llama.cpp always norms the weights of experts');
  return [
    ...decoderMetadata('qwen3moe', config),
    ['qwen3moe.expert_count', u32(numberIn(config, 'num_experts'))],
    ['qwen3moe.expert_used_count', u32(numberIn(config, 'num_experts_per_tok'))],
    ['qwen3moe.expert_feed_forward_length', u32(numberIn(config, 'moe_intermediate_size'))],
  ];
}

function moeConfig(gguf: Gguf): ConfigJson {
  const number = (key: string) => required(numberAt(gguf.metadata, `qwen3moe.${key}`), `qwen3moe.${key}`);
  return {
    ...decoderConfig(gguf, 'qwen3moe', 'qwen3_moe', 'Qwen3MoeForCausalLM'),
    attention_bias: false,
    num_experts: number('expert_count'),
    num_experts_per_tok: number('expert_used_count'),
    moe_intermediate_size: number('expert_feed_forward_length'),
    norm_topk_prob: true,
    decoder_sparse_step: 1,
    mlp_only_layers: [],
  };
}

function tensorMap(config: ConfigJson, block: (layer: number) => Link[]): TensorMap {
  const links = layersOf(config).flatMap((layer) => [
    layerNorm(config, layer, 'input_layernorm', 'attn_norm'),
    ...attentionLinks(config, layer, false),
    layerNorm(config, layer, 'post_attention_layernorm', 'ffn_norm'),
    ...block(layer),
  ]);
  return { links: [...outerLinks(config), ...links], weaves: [], computed: [] };
}

function headNorms(config: ConfigJson, layer: number): Link[] {
  const shape = [headSize(config)];
  const names = [`model.layers.${layer}.self_attn.`, `blk.${layer}.attn_`];
  return [
    link(`${names[0]}q_norm.weight`, `${names[1]}q_norm.weight`, shape, 'norm'),
    link(`${names[0]}k_norm.weight`, `${names[1]}k_norm.weight`, shape, 'norm'),
  ];
}

function denseBlock(config: ConfigJson, layer: number): Link[] {
  const inner = numberIn(config, 'intermediate_size');
  return feedForwardLinks(numberIn(config, 'hidden_size'), inner, `model.layers.${layer}.mlp.`, `blk.${layer}.ffn_`);
}

function sparseBlock(config: ConfigJson, layer: number): Link[] {
  const block = `model.layers.${layer}.mlp.`;
  return expertLinks(
    config,
    layer,
    {
      width: numberIn(config, 'hidden_size'),
      inner: numberIn(config, 'moe_intermediate_size'),
      experts: numberIn(config, 'num_experts'),
    },
    {
      router: `${block}gate.weight`,
      expert: (index) => `${block}experts.${index}.`,
      gate: 'gate_proj',
      up: 'up_proj',
      down: 'down_proj',
    },
  );
}
