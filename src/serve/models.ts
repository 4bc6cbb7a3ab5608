// The models a server answers for, by name: each a GGUF file, or a LoRA adapter on one of them.
import { ApiError } from './http/errors.ts';
import type { ServedModel } from './served-model.ts';

/** What a name stands for. */
export interface Target {
  name: string;
  model: ServedModel;
  /** The adapter's name in the engine. */
  adapter?: string;
}

export class Models {
  private readonly targets = new Map<string, Target>();
  private readonly exactNames: boolean;
  /** Names that were dropped: nothing else answers by them. */
  private readonly dropped = new Set<string>();

  /** @param options.exactNames otherwise an only model answers whatever it is called, so that applications change their base URL alone */
  constructor(options: { exactNames?: boolean } = {}) {
    this.exactNames = options.exactNames ?? false;
  }

  /** @throws ApiError 409 when the name is taken */
  add(target: Target): void {
    this.checkFree(target.name);
    this.targets.set(target.name, target);
    this.dropped.delete(target.name);
  }

  /** @throws ApiError 409 */
  checkFree(name: string): void {
    if (!this.targets.has(name)) return;
    throw new ApiError(409, `the name '${name}' is taken`, { param: 'id', code: 'name_taken' });
  }

  remove(name: string): void {
    if (this.targets.delete(name)) this.dropped.add(name);
  }

  list(): Target[] {
    return [...this.targets.values()];
  }

  /** The files behind the names, each once. */
  loaded(): ServedModel[] {
    return [...new Set(this.list().map(({ model }) => model))];
  }

  adaptersOf(model: ServedModel): Target[] {
    return this.list().filter((target) => target.model === model && target.adapter !== undefined);
  }

  /**
   * Where there is only one model, a request may leave out its name.
   * @throws ApiError 404
   */
  find(name: string | undefined): Target {
    const known = this.targets.get(name ?? '');
    if (known) return known;
    const [only, ...others] = this.list();
    const meant = name === undefined || !(this.exactNames || this.dropped.has(name));
    if (only && others.length === 0 && meant) return only;
    throw this.unknown(name);
  }

  /** @throws ApiError 404 unless the name is exactly that of a model */
  exactly(name: string): Target {
    const known = this.targets.get(name);
    if (!known) throw this.unknown(name);
    return known;
  }

  async close(): Promise<void> {
    await Promise.all(this.loaded().map((model) => model.close()));
    this.targets.clear();
  }

  private unknown(name: string | undefined): ApiError {
    const names = this.list().map((target) => target.name);
    const what = name === undefined ? 'the request names no model' : `the model '${name}' does not exist`;
    return new ApiError(404, `${what}; served here: ${names.join(', ')}`, { param: 'model', code: 'model_not_found' });
  }
}
