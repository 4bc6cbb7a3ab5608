// Typed access to GGUF metadata: the value under a key, or an error that names the key.
import { CupelError } from '../base/errors.ts';
import type { GgufMetadata } from './gguf-metadata.ts';

/** A number under `key`, or undefined when it is absent. @throws CupelError when it is no number */
export function numberAt(metadata: GgufMetadata, key: string): number | undefined {
  const value = metadata.get(key)?.value;
  if (value === undefined || typeof value === 'number') return value;
  throw wrongType(key, 'a number');
}

export function stringAt(metadata: GgufMetadata, key: string): string | undefined {
  const value = metadata.get(key)?.value;
  if (value === undefined || typeof value === 'string') return value;
  throw wrongType(key, 'a string');
}

export function booleanAt(metadata: GgufMetadata, key: string): boolean | undefined {
  const value = metadata.get(key)?.value;
  if (value === undefined || typeof value === 'boolean') return value;
  throw wrongType(key, 'true or false');
}

/** The items of an array of numbers. */
export function numbersAt(metadata: GgufMetadata, key: string): readonly number[] | undefined {
  const value = arrayAt(metadata, key);
  if (value?.some((item) => typeof item !== 'number')) throw wrongType(key, 'a list of numbers');
  return value as readonly number[] | undefined;
}

export function stringsAt(metadata: GgufMetadata, key: string): readonly string[] | undefined {
  const value = arrayAt(metadata, key);
  if (value?.some((item) => typeof item !== 'string')) throw wrongType(key, 'a list of strings');
  return value as readonly string[] | undefined;
}

/** The value, or an error that says the key is missing. */
export function required<T>(value: T | undefined, key: string): T {
  if (value !== undefined) return value;
  throw new CupelError('the GGUF metadata lack this key', {
    place: { field: key },
    remedy: 'convert the model again with a current converter',
  });
}

function arrayAt(metadata: GgufMetadata, key: string): readonly unknown[] | undefined {
  const entry = metadata.get(key);
  if (entry === undefined) return undefined;
  if (entry.type !== 'array') throw wrongType(key, 'a list');
  return entry.value;
}

function wrongType(key: string, wanted: string): CupelError {
  return new CupelError(`the GGUF metadata value must be ${wanted}`, { place: { field: key } });
}
