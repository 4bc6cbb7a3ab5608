// The families at hand, found by GGUF architecture or by model_type.
import { CupelError } from '../../base/errors.ts';
import { deepseek2 } from './deepseek.ts';
import type { GgufFamily } from './family.ts';
import { gemma3 } from './gemma3.ts';
import { llama } from './llama.ts';
import { qwen2, qwen3, qwen3moe } from './qwen.ts';

const FAMILIES: readonly GgufFamily[] = [llama, qwen2, qwen3, qwen3moe, gemma3, deepseek2];

/** @param architecture `general.architecture` of a GGUF file. @throws CupelError for one that is not known */
export function familyOfArchitecture(architecture: string): GgufFamily {
  return (
    FAMILIES.find((family) => family.architecture === architecture) ?? unknown(architecture, 'general.architecture')
  );
}

/** @param modelType `model_type` of config.json. @throws CupelError for one that is not known */
export function familyOfModelType(modelType: string): GgufFamily {
  return FAMILIES.find((family) => family.modelTypes.includes(modelType)) ?? unknown(modelType, 'model_type');
}

function unknown(name: string, field: string): never {
  throw new CupelError(`models of kind "${name}" are not supported`, {
    place: { field },
    remedy: `supported: ${FAMILIES.flatMap((family) => family.modelTypes).join(', ')}`,
  });
}
