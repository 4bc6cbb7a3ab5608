// POST and DELETE /admin/models and /admin/adapters: what is served, changed without a restart, by who holds the admin key.
import { timingSafeEqual } from 'node:crypto';
import type { Context } from 'hono';
import { z } from 'zod';
import { CupelError, describeError } from '../../base/errors.ts';
import { sha256 } from '../../base/hash.ts';
import { loadAdapterAs, loadModelAs, unload } from '../library.ts';
import type { Target } from '../models.ts';
import type { Service } from '../service.ts';
import { readBody } from './body.ts';
import { ApiError } from './errors.ts';
import { describeModel } from './model-list.ts';

const ModelBody = z.object({ id: z.string().min(1).optional(), path: z.string().min(1) });
const AdapterBody = z.object({ id: z.string().min(1), path: z.string().min(1), model: z.string().optional() });

export async function addModel(c: Context, service: Service): Promise<Response> {
  authorise(c, service.adminKey);
  const { id: name, path } = await readBody(c, ModelBody, service.limits.bodyBytes);
  const target = await loading(
    service.admit('model', path).then(() => loadModelAs(service.models, path, { ...service.modelOptions, name })),
  );
  return c.json(describeModel(target), 201);
}

export async function addAdapter(c: Context, service: Service): Promise<Response> {
  authorise(c, service.adminKey);
  const { id: name, path, model } = await readBody(c, AdapterBody, service.limits.bodyBytes);
  const target = await loading(
    service.admit('adapter', path).then(() => loadAdapterAs(service.models, { name, path, model })),
  );
  return c.json(describeModel(target), 201);
}

/** @param kind a model and an adapter are not mistaken for each other */
export async function drop(c: Context, service: Service, kind: 'model' | 'adapter', name: string): Promise<Response> {
  authorise(c, service.adminKey);
  const target = service.models.exactly(name);
  if ((target.adapter !== undefined) !== (kind === 'adapter')) {
    throw new ApiError(404, `'${name}' is no ${kind}`, { param: 'id', code: 'model_not_found' });
  }
  await unload(service.models, name, (each) => service.settled(each));
  return c.json({ id: name, object: 'model', deleted: true });
}

/** A file that cannot be loaded is the caller's mistake, told in full: the caller is the administrator. */
async function loading(target: Promise<Target>): Promise<Target> {
  try {
    return await target;
  } catch (error) {
    if (error instanceof CupelError) throw new ApiError(400, describeError(error), { param: 'path' });
    throw error;
  }
}

function authorise(c: Context, key: string | undefined): void {
  if (key === undefined) {
    throw new ApiError(403, 'this server has no admin key; set CUPEL_ADMIN_KEY to change what it serves', {
      code: 'admin_disabled',
    });
  }
  const given = c.req.header('authorization')?.replace(/^Bearer /i, '') ?? '';
  // equal lengths for the comparison in constant time
  if (timingSafeEqual(Buffer.from(sha256(given)), Buffer.from(sha256(key)))) return;
  throw new ApiError(401, 'the admin key is missing or wrong', { code: 'invalid_api_key' });
}
