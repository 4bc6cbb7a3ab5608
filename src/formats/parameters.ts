// How many parameters a model of a config has, in all and met by one token; counted from the shapes its family states.
import { optionalNumberIn } from './families/config-values.ts';
import { familyOfModelType } from './families/families.ts';
import type { Link } from './families/family.ts';
import { type ConfigJson, elementsOf } from './weights.ts';

export interface ParameterCount {
  total: number;
  /** Without the experts that a token does not choose. */
  active: number;
  /** Of the embedding, which is looked up rather than multiplied by (and of the output where it is another table). */
  embedding: number;
  output: number;
}

/** @throws CupelError for an unknown `model_type` or a config that lacks a field */
export function countParameters(config: ConfigJson): ParameterCount {
  const { links, weaves } = familyOfModelType(String(config.model_type)).tensors(config);
  const chosen = optionalNumberIn(config, 'num_experts_per_tok') ?? 1;
  const count: ParameterCount = { total: 0, active: 0, embedding: 0, output: 0 };
  for (const link of links.filter((each) => exists(config, each))) {
    const size = elementsOf(link.shape);
    count.total += size;
    count.active += link.stack ? (size * chosen) / link.stack.of : size;
    if (link.role === 'embedding') count.embedding += size;
    if (link.role === 'output') count.output += size;
  }
  for (const { shape } of weaves) {
    count.total += elementsOf(shape);
    count.active += elementsOf(shape);
  }
  count.active = Math.round(count.active);
  return count;
}

/** Which of the tensors that not every model has this one has. */
export function exists(config: ConfigJson, { hf, optional, legacy }: Link): boolean {
  if (legacy) return false;
  if (!optional) return true;
  if (hf === 'lm_head.weight') return !tied(config);
  if (/mlp.*\.bias$/.test(hf)) return config.mlp_bias === true;
  if (hf.endsWith('o_proj.bias')) return config.attention_bias === true;
  return config.attention_bias === true || config.model_type === 'qwen2';
}

/** Whether the output is the embedding. Gemma's is unless its config says otherwise, all others' is not. */
export function tied(config: ConfigJson): boolean {
  return (config.tie_word_embeddings as boolean | undefined) ?? config.model_type === 'gemma3_text';
}
