// Reads fields of a Hugging Face config.json, with errors that name the field.
import { CupelError } from '../base/errors.ts';

const REMEDY = 'check config.json of the model, or choose a supported model (`cupel models list`)';

/** A view of one JSON object whose getters check types. */
export class ConfigFields {
  readonly #fields: Readonly<Record<string, unknown>>;
  readonly #path: string;

  /** @throws CupelError when `json` is not an object */
  constructor(json: unknown, path = '') {
    if (json === null || typeof json !== 'object' || Array.isArray(json))
      throw new CupelError('expected a JSON object', { place: { file: 'config.json', field: path }, remedy: REMEDY });
    this.#fields = json as Record<string, unknown>;
    this.#path = path;
  }

  /** Null counts as absent, as transformers writes it. */
  has(name: string): boolean {
    return this.#fields[name] !== undefined && this.#fields[name] !== null;
  }

  positive(name: string, fallback?: number): number {
    const value = this.#read(name, fallback);
    if (typeof value === 'number' && Number.isFinite(value) && value > 0) return value;
    throw this.wrong(name, `expected a positive number, got ${JSON.stringify(value)}`);
  }

  /** The value as it stands, unchecked. */
  raw(name: string): unknown {
    return this.#fields[name];
  }

  /** Zero or more. */
  nonNegative(name: string, fallback?: number): number {
    const value = this.#read(name, fallback);
    if (typeof value === 'number' && Number.isFinite(value) && value >= 0) return value;
    throw this.wrong(name, `expected a number of at least 0, got ${JSON.stringify(value)}`);
  }

  /** A positive integer. */
  count(name: string, fallback?: number): number {
    const value = this.positive(name, fallback);
    if (Number.isSafeInteger(value)) return value;
    throw this.wrong(name, `expected a whole number, got ${value}`);
  }

  flag(name: string, fallback: boolean): boolean {
    const value = this.#read(name, fallback);
    if (typeof value === 'boolean') return value;
    throw this.wrong(name, `expected true or false, got ${JSON.stringify(value)}`);
  }

  text(name: string, fallback?: string): string {
    const value = this.#read(name, fallback);
    if (typeof value === 'string') return value;
    throw this.wrong(name, `expected text, got ${JSON.stringify(value)}`);
  }

  list(name: string): readonly unknown[] {
    const value = this.#read(name, undefined);
    if (Array.isArray(value)) return value;
    throw this.wrong(name, `expected a list, got ${JSON.stringify(value)}`);
  }

  object(name: string): ConfigFields {
    return new ConfigFields(this.#read(name, undefined), this.#path ? `${this.#path}.${name}` : name);
  }

  /** @throws CupelError when the field has a value other than those supported */
  oneOf<T extends string>(name: string, allowed: readonly T[], fallback?: T): T {
    const value = this.text(name, fallback);
    if ((allowed as readonly string[]).includes(value)) return value as T;
    throw this.wrong(name, `${value} is not supported; supported: ${allowed.join(', ')}`);
  }

  wrong(name: string, message: string): CupelError {
    const field = this.#path ? `${this.#path}.${name}` : name;
    return new CupelError(message, { place: { file: 'config.json', field }, remedy: REMEDY });
  }

  #read(name: string, fallback: unknown): unknown {
    if (this.has(name)) return this.#fields[name];
    if (fallback !== undefined) return fallback;
    throw this.wrong(name, 'is missing');
  }
}
