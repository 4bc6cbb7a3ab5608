// Which family reads which `model_type`.
import { CupelError } from '../base/errors.ts';
import { deepseekV2 } from './deepseek_v2.ts';
import { gemma3 } from './gemma3_text.ts';
import { llama } from './llama.ts';
import { mixtral } from './mixtral.ts';
import type { ModelFamily } from './model.ts';
import { qwen2 } from './qwen2.ts';
import { qwen3 } from './qwen3.ts';
import { qwen3Moe } from './qwen3_moe.ts';

const FAMILIES: readonly ModelFamily[] = [llama, qwen2, qwen3, gemma3, deepseekV2, mixtral, qwen3Moe];

/** The family of a config.json. @throws CupelError listing what is supported */
export function familyOf(config: unknown): ModelFamily {
  const type = (config as { model_type?: unknown } | null)?.model_type;
  const family = FAMILIES.find(({ modelTypes }) => modelTypes.includes(String(type)));
  if (family) return family;
  throw new CupelError(`model_type ${JSON.stringify(type)} is not supported`, {
    place: { file: 'config.json', field: 'model_type' },
    remedy: `use a model of one of these types: ${FAMILIES.flatMap(({ modelTypes }) => modelTypes).join(', ')}`,
  });
}
