// What decoder-only families share: metadata keys, config fields and the tensors of attention, feed-forward and experts.
import { CupelError } from '../../base/errors.ts';
import type { Gguf } from '../gguf.ts';
import type { GgufEntry } from '../gguf-metadata.ts';
import { numberAt, required, stringAt } from '../gguf-values.ts';
import type { ConfigJson } from '../weights.ts';
import { countIn, headSize, numberIn, tidy } from './config-values.ts';
import type { Link, MetadataEntries, TensorRole } from './family.ts';
import { ropeConfig, ropeMetadata } from './rope.ts';

export const u32 = (value: number): GgufEntry => ({ type: 'u32', value });
export const f32 = (value: number): GgufEntry => ({ type: 'f32', value });
export const flag = (value: boolean): GgufEntry => ({ type: 'bool', value });

/** Keys that every decoder has. */
export function decoderMetadata(architecture: string, config: ConfigJson): MetadataEntries {
  const number = (field: string) => numberIn(config, field);
  const size = headSize(config);
  const entries: Record<string, GgufEntry> = {
    block_count: u32(number('num_hidden_layers')),
    context_length: u32(number('max_position_embeddings')),
    embedding_length: u32(number('hidden_size')),
    feed_forward_length: u32(number('intermediate_size')),
    'attention.head_count': u32(number('num_attention_heads')),
    'attention.head_count_kv': u32(numberIn(config, 'num_key_value_heads', number('num_attention_heads'))),
    'attention.layer_norm_rms_epsilon': f32(numberIn(config, 'rms_norm_eps', 1e-6)),
    'attention.key_length': u32(size),
    'attention.value_length': u32(size),
    'rope.dimension_count': u32(size),
    vocab_size: u32(number('vocab_size')),
  };
  return [
    ...Object.entries(entries).map(([key, entry]): [string, GgufEntry] => [`${architecture}.${key}`, entry]),
    ...ropeMetadata(architecture, config),
  ];
}

/** The common fields of config.json from a GGUF file. */
export function decoderConfig(gguf: Gguf, architecture: string, modelType: string, className: string): ConfigJson {
  const optional = (key: string) => numberAt(gguf.metadata, `${architecture}.${key}`);
  const number = (key: string) => required(optional(key), `${architecture}.${key}`);
  const heads = number('attention.head_count');
  const embedding = gguf.tensors.get('token_embd.weight');
  if (!embedding)
    throw new CupelError('has no token embedding', { place: { file: gguf.path, field: 'token_embd.weight' } });
  const special = (name: string) => numberAt(gguf.metadata, `tokenizer.ggml.${name}_token_id`);
  return {
    architectures: [className],
    model_type: modelType,
    vocab_size: embedding.shape[0],
    hidden_size: number('embedding_length'),
    intermediate_size: number('feed_forward_length'),
    num_hidden_layers: number('block_count'),
    num_attention_heads: heads,
    num_key_value_heads: optional('attention.head_count_kv') ?? heads,
    head_dim: optional('attention.key_length') ?? number('embedding_length') / heads,
    max_position_embeddings: number('context_length'),
    rms_norm_eps: tidy(number('attention.layer_norm_rms_epsilon')),
    ...ropeConfig(gguf, architecture),
    tie_word_embeddings: !gguf.tensors.has('output.weight'),
    hidden_act: 'silu',
    bos_token_id: special('bos') ?? null,
    eos_token_id: special('eos') ?? null,
    pad_token_id: special('padding') ?? null,
    torch_dtype: 'float32',
    ...nameOf(gguf),
  };
}

function nameOf(gguf: Gguf): ConfigJson {
  const name = stringAt(gguf.metadata, 'general.name');
  return name === undefined ? {} : { _name_or_path: name };
}

/** No model has more: a config that says so is damaged, and would cost memory for names alone. */
const MOST_LAYERS = 1000;
const MOST_EXPERTS = 1024;
const MOST_EXPERTS_IN_ALL = 50_000;

/** The numbers of the layers. @throws CupelError for a count that no model has */
export function layersOf(config: ConfigJson): number[] {
  return [...Array(countIn(config, 'num_hidden_layers', MOST_LAYERS)).keys()];
}

export function link(
  hf: string,
  gguf: string,
  shape: readonly number[],
  role: TensorRole,
  extra: Partial<Link> = {},
): Link {
  return { hf, gguf, shape, role, ...extra };
}

/** Embedding, last norm, output. */
export function outerLinks(config: ConfigJson, normShift = 0): Link[] {
  const width = numberIn(config, 'hidden_size');
  const table = [numberIn(config, 'vocab_size'), width];
  return [
    link('model.embed_tokens.weight', 'token_embd.weight', table, 'embedding'),
    link('model.norm.weight', 'output_norm.weight', [width], 'norm', { shift: normShift }),
    link('lm_head.weight', 'output.weight', table, 'output', { optional: true }),
  ];
}

/** Query, key, value and output projections of a layer, with their biases where a model has them. */
export function attentionLinks(config: ConfigJson, layer: number, interleaved: boolean): Link[] {
  const width = numberIn(config, 'hidden_size');
  const heads = numberIn(config, 'num_attention_heads');
  const keyHeads = numberIn(config, 'num_key_value_heads', heads);
  const size = headSize(config);
  const projection = (hf: string, gguf: string, out: number, into: number, rotary?: number) => {
    const extra: Partial<Link> = interleaved && rotary ? { interleave: { heads: rotary } } : {};
    const names = [`model.layers.${layer}.self_attn.${hf}`, `blk.${layer}.${gguf}`];
    return [
      link(`${names[0]}.weight`, `${names[1]}.weight`, [out, into], 'matrix', extra),
      link(`${names[0]}.bias`, `${names[1]}.bias`, [out], 'bias', { ...extra, optional: true }),
    ];
  };
  return [
    ...projection('q_proj', 'attn_q', heads * size, width, heads),
    ...projection('k_proj', 'attn_k', keyHeads * size, width, keyHeads),
    ...projection('v_proj', 'attn_v', keyHeads * size, width),
    ...projection('o_proj', 'attn_output', width, heads * size),
  ];
}

/** Gate, up and down of one feed-forward block; `hf` and `gguf` are the prefixes, e.g. `model.layers.0.mlp.` and `blk.0.ffn_`. */
export function feedForwardLinks(width: number, inner: number, hf: string, gguf: string, suffix = ''): Link[] {
  const projection = (name: string, out: number, into: number) => [
    link(`${hf}${name}_proj.weight`, `${gguf}${name}${suffix}.weight`, [out, into], 'matrix'),
    link(`${hf}${name}_proj.bias`, `${gguf}${name}${suffix}.bias`, [out], 'bias', { optional: true }),
  ];
  return [...projection('gate', inner, width), ...projection('up', inner, width), ...projection('down', width, inner)];
}

/** A router and its experts, which GGUF stacks into one tensor for each projection. */
export function expertLinks(
  config: ConfigJson,
  layer: number,
  sizes: { width: number; inner: number; experts: number },
  names: { router: string; expert: (index: number) => string; gate: string; up: string; down: string },
): Link[] {
  const { width, inner, experts } = sizes;
  countIn({ experts }, 'experts', Math.min(MOST_EXPERTS, MOST_EXPERTS_IN_ALL / numberIn(config, 'num_hidden_layers')));
  const links = [link(names.router, `blk.${layer}.ffn_gate_inp.weight`, [experts, width], 'router')];
  for (const [hf, gguf, shape] of [
    [names.gate, 'gate', [inner, width]],
    [names.up, 'up', [inner, width]],
    [names.down, 'down', [width, inner]],
  ] as const) {
    for (let index = 0; index < experts; index++) {
      const stack = { index, of: experts };
      links.push(
        link(`${names.expert(index)}${hf}.weight`, `blk.${layer}.ffn_${gguf}_exps.weight`, shape, 'matrix', { stack }),
      );
    }
  }
  return links;
}

/** A norm of a layer. */
export function layerNorm(config: ConfigJson, layer: number, hf: string, gguf: string, shift = 0): Link {
  const width = numberIn(config, 'hidden_size');
  return link(`model.layers.${layer}.${hf}.weight`, `blk.${layer}.${gguf}.weight`, [width], 'norm', { shift });
}
