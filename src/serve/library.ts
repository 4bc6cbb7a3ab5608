// Loading and dropping models and adapters, at the start and while the server runs.
import { existsSync, mkdtempSync, rmSync, statSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { writeAdapterFile } from './adapter-file.ts';
import { ApiError } from './http/errors.ts';
import type { Models, Target } from './models.ts';
import { type ModelOptions, openServedModel } from './served-model.ts';

export interface AdapterRequest {
  name: string;
  /** A PEFT folder or a GGUF adapter. */
  path: string;
  /** Name of the model it adapts. */
  model: string | undefined;
}

/** @throws CupelError, ApiError */
export async function loadModelAs(
  models: Models,
  path: string,
  options: ModelOptions & { name?: string },
): Promise<Target> {
  const name = options.name ?? basename(path).replace(/\.gguf$/i, '');
  models.checkFree(name);
  const target = { name, model: await openServedModel(path, options) };
  try {
    models.add(target);
  } catch (error) {
    // somebody else took the name meanwhile
    await target.model.close();
    throw error;
  }
  return target;
}

/** @throws CupelError, ApiError, EngineError */
export async function loadAdapterAs(models: Models, { name, path, model }: AdapterRequest): Promise<Target> {
  models.checkFree(name);
  const base = model === undefined ? models.list()[0] : models.exactly(model);
  if (!base || base.adapter !== undefined) throw new ApiError(400, 'an adapter needs a model', { param: 'model' });
  if (!existsSync(path)) throw new CupelError('no such file or folder', { place: { file: path, field: 'path' } });
  const folder = mkdtempSync(join(tmpdir(), 'cupel-adapter-'));
  try {
    const converted = join(folder, 'adapter.gguf');
    if (statSync(path).isDirectory()) writeAdapterFile(path, base.model.path, converted);
    const file = existsSync(converted) ? converted : path;
    await base.model.engine.call({ kind: 'loadAdapter', name, path: file });
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
  const target = { name, model: base.model, adapter: name };
  models.add(target);
  return target;
}

/**
 * Takes a name off the server. A model takes its adapters along; both wait until what they are answering is done.
 * @param settled resolves when nothing of the target is in flight any more
 */
export async function unload(models: Models, name: string, settled: (target: Target) => Promise<void>): Promise<void> {
  const target = models.exactly(name);
  if (target.adapter !== undefined) {
    models.remove(name);
    await settled(target);
    await target.model.engine.call({ kind: 'unloadAdapter', name });
    return;
  }
  if (models.loaded().length === 1) {
    throw new ApiError(409, 'the last model stays; stop the server instead', { param: 'id', code: 'last_model' });
  }
  for (const each of [target, ...models.adaptersOf(target.model)]) models.remove(each.name);
  await settled(target);
  await target.model.close();
}
