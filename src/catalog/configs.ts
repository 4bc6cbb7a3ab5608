// The shapes of catalog models, as their config.json states them: enough to plan for a model before it is fetched.
import type { ConfigJson } from '../formats/weights.ts';

interface Shape {
  hidden: number;
  inner: number;
  layers: number;
  heads: number;
  keyValueHeads: number;
  headSize: number;
  vocabulary: number;
  context: number;
}

function decoder(modelType: string, shape: Shape, tied: boolean, more: ConfigJson = {}): ConfigJson {
  return {
    model_type: modelType,
    hidden_size: shape.hidden,
    intermediate_size: shape.inner,
    num_hidden_layers: shape.layers,
    num_attention_heads: shape.heads,
    num_key_value_heads: shape.keyValueHeads,
    head_dim: shape.headSize,
    vocab_size: shape.vocabulary,
    max_position_embeddings: shape.context,
    tie_word_embeddings: tied,
    ...more,
  };
}

/** Columns: hidden, inner, layers, heads, key and value heads, head size, vocabulary, context. */
type Row = [number, number, number, number, number, number, number, number];
const shape = ([hidden, inner, layers, heads, keyValueHeads, headSize, vocabulary, context]: Row): Shape => ({
  hidden,
  inner,
  layers,
  heads,
  keyValueHeads,
  headSize,
  vocabulary,
  context,
});

const llama = (row: Row, tied: boolean) => decoder('llama', shape(row), tied);
const qwen2 = (row: Row, tied: boolean) => decoder('qwen2', shape(row), tied);
const qwen3 = (row: Row, tied: boolean) => decoder('qwen3', shape(row), tied);
const gemma3 = (row: Row) =>
  decoder('gemma3_text', shape(row), true, { sliding_window: 512, sliding_window_pattern: 6 });

function deepseek(row: Row, experts: { routed: number; inner: number; queryRank: number | null }): ConfigJson {
  return decoder('deepseek_v2', shape(row), false, {
    head_dim: undefined,
    q_lora_rank: experts.queryRank,
    kv_lora_rank: 512,
    qk_nope_head_dim: 128,
    qk_rope_head_dim: 64,
    v_head_dim: 128,
    n_routed_experts: experts.routed,
    n_shared_experts: 2,
    num_experts_per_tok: 6,
    moe_intermediate_size: experts.inner,
    first_k_dense_replace: 1,
  });
}

/** By catalog name. */
export const CONFIGS: Readonly<Record<string, ConfigJson>> = {
  'smollm2-135m-instruct': llama([576, 1536, 30, 9, 3, 64, 49_152, 8192], true),
  'smollm2-360m-instruct': llama([960, 2560, 32, 15, 5, 64, 49_152, 8192], true),
  'smollm2-1.7b-instruct': llama([2048, 8192, 24, 32, 32, 64, 49_152, 8192], true),
  'gemma-3-270m': gemma3([640, 2048, 18, 4, 1, 256, 262_144, 32_768]),
  'gemma-3-1b-it': gemma3([1152, 6912, 26, 4, 1, 256, 262_144, 32_768]),
  'qwen2.5-0.5b-instruct': qwen2([896, 4864, 24, 14, 2, 64, 151_936, 32_768], true),
  'qwen2.5-1.5b-instruct': qwen2([1536, 8960, 28, 12, 2, 128, 151_936, 32_768], true),
  'qwen2.5-3b-instruct': qwen2([2048, 11_008, 36, 16, 2, 128, 151_936, 32_768], true),
  'qwen2.5-7b-instruct': qwen2([3584, 18_944, 28, 28, 4, 128, 152_064, 32_768], false),
  'qwen3-0.6b': qwen3([1024, 3072, 28, 16, 8, 128, 151_936, 40_960], true),
  'qwen3-1.7b': qwen3([2048, 6144, 28, 16, 8, 128, 151_936, 40_960], true),
  'qwen3-4b': qwen3([2560, 9728, 36, 32, 8, 128, 151_936, 40_960], true),
  'qwen3-8b': qwen3([4096, 12_288, 36, 32, 8, 128, 151_936, 40_960], false),
  'qwen3-30b-a3b': decoder('qwen3_moe', shape([2048, 6144, 48, 32, 4, 128, 151_936, 40_960]), false, {
    num_experts: 128,
    num_experts_per_tok: 8,
    moe_intermediate_size: 768,
  }),
  'qwen2-72b-instruct': qwen2([8192, 29_568, 80, 64, 8, 128, 152_064, 32_768], false),
  'deepseek-v2-lite-chat': deepseek([2048, 10_944, 27, 16, 16, 0, 102_400, 163_840], {
    routed: 64,
    inner: 1408,
    queryRank: null,
  }),
  'deepseek-v2-chat': deepseek([5120, 12_288, 60, 128, 128, 0, 102_400, 163_840], {
    routed: 160,
    inner: 1536,
    queryRank: 1536,
  }),
  'llama-3.2-1b-instruct': llama([2048, 8192, 16, 32, 8, 64, 128_256, 131_072], true),
  'llama-3.2-3b-instruct': llama([3072, 8192, 28, 24, 8, 128, 128_256, 131_072], true),
  'llama-3.1-8b-instruct': llama([4096, 14_336, 32, 32, 8, 128, 128_256, 131_072], false),
  'mixtral-8x7b-instruct': decoder('mixtral', shape([4096, 14_336, 32, 32, 8, 128, 32_000, 32_768]), false, {
    num_local_experts: 8,
    num_experts_per_tok: 2,
  }),
};
