// Typed access to config.json: the value of a field, or an error that names it.
import { CupelError } from '../../base/errors.ts';
import type { ConfigJson } from '../weights.ts';

/** @throws CupelError when the field is missing or not a number and there is no fallback */
export function numberIn(config: ConfigJson, field: string, fallback?: number): number {
  const value = config[field] ?? fallback;
  if (typeof value === 'number') return value;
  throw new CupelError(value === undefined ? 'the field is missing' : 'the field must be a number', {
    place: { file: 'config.json', field },
    remedy: "check the model's config.json",
  });
}

/** A whole number from 1 to `most`. @throws CupelError when the field is missing or is none */
export function countIn(config: ConfigJson, field: string, most: number): number {
  const value = numberIn(config, field);
  if (Number.isInteger(value) && value > 0 && value <= most) return value;
  throw new CupelError(`${value} is not a whole number from 1 to ${most}`, {
    place: { file: 'config.json', field },
    remedy: "check the model's config.json",
  });
}

export function optionalNumberIn(config: ConfigJson, field: string): number | undefined {
  const value = config[field];
  return typeof value === 'number' ? value : undefined;
}

const WIDEST_HEAD = 16_384;

/** Width of an attention head. @throws CupelError when it is no width */
export function headSize(config: ConfigJson): number {
  const width = numberIn(config, 'head_dim', numberIn(config, 'hidden_size') / numberIn(config, 'num_attention_heads'));
  return countIn({ head_dim: width }, 'head_dim', WIDEST_HEAD);
}

/** A number as a person would have written it: single precision has about seven digits (1e-5, not 9.99999974e-6). */
export const tidy = (value: number): number => Number(value.toPrecision(7));

/** @throws CupelError naming the field of config.json that GGUF, or llama.cpp, has no place for */
export function refuseUnless(holds: boolean, field: string, reason: string): void {
  if (holds) return;
  throw new CupelError(reason, {
    place: { file: 'config.json', field },
    remedy: 'this variant cannot be written as GGUF; write a safetensors folder instead',
  });
}

/** @throws CupelError when the layers look back further or less far than llama.cpp would let them */
export function refuseSlidingWindows(config: ConfigJson): void {
  const sliding =
    config.use_sliding_window === true ||
    (Array.isArray(config.layer_types) && config.layer_types.includes('sliding_attention'));
  refuseUnless(!sliding, 'use_sliding_window', 'llama.cpp has no sliding windows for this family');
}
