// Which family reads which `model_type`.
import { CupelError } from '../base/errors.ts';
import { llama } from './llama.ts';
import type { ModelFamily } from './model.ts';

const FAMILIES: readonly ModelFamily[] = [llama];

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
