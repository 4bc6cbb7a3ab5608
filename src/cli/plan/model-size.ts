// Bytes of a model in each precision and of its cache, counted from the shapes that its family states.
import { precisionOf, tensorType } from '../../compress/precision.ts';
import { familyOfModelType } from '../../formats/families/families.ts';
import { ggmlBytes } from '../../formats/ggml-types.ts';
import { countParameters, exists, type ParameterCount } from '../../formats/parameters.ts';
import type { ConfigJson } from '../../formats/weights.ts';

export interface ModelSize extends ParameterCount {
  config: ConfigJson;
  layers: number;
  hidden: number;
  vocabulary: number;
  heads: number;
  /** Width of a head's query plus that of its value. */
  headWidths: number;
  /** Of the matrices of all layers: inputs plus outputs, as LoRA sees them (experts left out). */
  adaptedWidths: number;
  experts?: { routed: number; chosen: number };
}

const number = (config: ConfigJson, field: string): number => Number(config[field]);

export function modelSize(config: ConfigJson): ModelSize {
  const { links } = familyOfModelType(String(config.model_type)).tensors(config);
  const adapted = links.filter((link) => link.role === 'matrix' && !link.stack && exists(config, link));
  const routed = [config.num_experts, config.num_local_experts, config.n_routed_experts].find(
    (count) => typeof count === 'number',
  ) as number | undefined;
  const head = latent(config)
    ? number(config, 'qk_nope_head_dim') + number(config, 'qk_rope_head_dim') + number(config, 'v_head_dim')
    : 2 * Number(config.head_dim ?? number(config, 'hidden_size') / number(config, 'num_attention_heads'));
  return {
    ...countParameters(config),
    config,
    layers: number(config, 'num_hidden_layers'),
    hidden: number(config, 'hidden_size'),
    vocabulary: number(config, 'vocab_size'),
    heads: number(config, 'num_attention_heads'),
    headWidths: head,
    adaptedWidths: adapted.reduce((sum, { shape: [out, into] }) => sum + out + into, 0),
    ...(routed === undefined ? {} : { experts: { routed, chosen: number(config, 'num_experts_per_tok') } }),
  };
}

/** Bytes of all tensors of a GGUF file of that `--type`; `shared` leaves out the experts. */
export function fileBytes(config: ConfigJson, type: string): { all: number; shared: number } {
  const precision = precisionOf(type);
  const { links, weaves } = familyOfModelType(String(config.model_type)).tensors(config);
  const bytes = { all: 0, shared: 0 };
  for (const link of links.filter((each) => exists(config, each))) {
    const elements = link.shape.reduce((a, b) => a * b, 1);
    const size = ggmlBytes(tensorType(precision, link.role, link.shape), elements);
    bytes.all += size;
    if (!link.stack) bytes.shared += size;
  }
  for (const { shape, role } of weaves) {
    const size = ggmlBytes(tensorType(precision, role, shape), shape[0] * shape[1]);
    bytes.all += size;
    bytes.shared += size;
  }
  return bytes;
}

const latent = (config: ConfigJson): boolean => typeof config.kv_lora_rank === 'number';

/** Bytes of the cache (16 bits) for one user with so many tokens. */
export function cacheBytes(config: ConfigJson, tokens: number): number {
  const layers = number(config, 'num_hidden_layers');
  // latent attention keeps one compressed row for all heads
  if (latent(config)) {
    return 2 * layers * tokens * (number(config, 'kv_lora_rank') + number(config, 'qk_rope_head_dim'));
  }
  const size = Number(config.head_dim ?? number(config, 'hidden_size') / number(config, 'num_attention_heads'));
  const row = 2 * 2 * number(config, 'num_key_value_heads') * size;
  const pattern = Number(config.sliding_window_pattern ?? 1);
  const window = Number(config.sliding_window ?? tokens) || tokens;
  const full = pattern > 1 ? Math.floor(layers / pattern) : layers;
  // layers with a window keep no more than it
  return row * (full * tokens + (layers - full) * Math.min(tokens, window));
}
