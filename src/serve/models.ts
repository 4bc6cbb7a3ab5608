// The models a server answers for, by name.
import { ApiError } from './http/errors.ts';
import type { ServedModel } from './served-model.ts';

export class Models {
  private readonly byName = new Map<string, ServedModel>();
  private readonly strict: boolean;

  /** @param options.strict refuses other names even where there is only one model */
  constructor(options: { strict?: boolean } = {}) {
    this.strict = options.strict ?? false;
  }

  add(model: ServedModel): void {
    this.byName.set(model.name, model);
  }

  list(): ServedModel[] {
    return [...this.byName.values()];
  }

  /**
   * A server of one model answers whatever name it is called by, so that an application changes nothing but its base URL.
   * @throws ApiError 404
   */
  find(name: string | undefined): ServedModel {
    const known = this.byName.get(name ?? '');
    if (known) return known;
    const [only, ...others] = this.list();
    if (only && others.length === 0 && (!this.strict || name === undefined)) return only;
    throw unknownModel(name, this.list());
  }

  /** @throws ApiError 404 unless the name is exactly that of a model */
  exactly(name: string): ServedModel {
    const known = this.byName.get(name);
    if (!known) throw unknownModel(name, this.list());
    return known;
  }

  async close(): Promise<void> {
    await Promise.all(this.list().map((model) => model.close()));
    this.byName.clear();
  }
}

function unknownModel(name: string | undefined, models: readonly ServedModel[]): ApiError {
  const names = models.map((model) => model.name).join(', ');
  const what = name === undefined ? 'the request names no model' : `the model '${name}' does not exist`;
  return new ApiError(404, `${what}; served here: ${names}`, { param: 'model', code: 'model_not_found' });
}
