// Models and LoRA adapters by name, loaded and dropped while the server runs.
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { startTinyServer, type TinyServer } from '../../test/tiny-server.ts';
import { writeTinyStudent } from '../../test/tiny-student.ts';
import { CupelError } from '../base/errors.ts';
import { Random } from '../base/random.ts';
import { compress } from '../compress/compress.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { writePeft } from '../formats/peft.ts';

const ADMIN = { headers: { 'content-type': 'application/json', authorization: 'Bearer secret' } };
let server: TinyServer;
let adapter: string;

beforeAll(async () => {
  server = await startTinyServer({ adminKey: 'secret' });
  adapter = join(server.folder, 'adapter');
  const random = new Random(11);
  const matrix = (size: number) => Float32Array.from({ length: size }, () => 0.2 * random.normal());
  const pair = (inputs: number, outputs: number) => ({
    A: matrix(4 * inputs),
    B: matrix(4 * outputs),
    inputs,
    outputs,
  });
  const pairs = new Map(
    [0, 1].flatMap((layer) => [
      [`model.layers.${layer}.self_attn.q_proj`, pair(64, 64)] as const,
      [`model.layers.${layer}.self_attn.k_proj`, pair(64, 32)] as const,
      [`model.layers.${layer}.mlp.down_proj`, pair(128, 64)] as const,
    ]),
  );
  writePeft(adapter, { rank: 4, alpha: 8, base: 'tiny', pairs });
});
afterAll(() => server.close());

const names = async () => (await server.client.models.list()).data.map((model) => model.id);
const say = async (model: string, prompt = 'once') =>
  (await server.client.completions.create({ model, prompt, temperature: 0, max_tokens: 24, ignore_eos: true } as never))
    .choices[0].text;
const remove = (path: string) => fetch(`${server.url}${path}`, { method: 'DELETE', ...ADMIN });

describe('adapters', () => {
  it('answer under their own name as the merged model does, beside the base', async () => {
    const base = await say('tiny');
    const added = await server.post('/admin/adapters', { id: 'tuned', path: adapter }, ADMIN);
    expect(added.status).toBe(201);
    expect(await names()).toEqual(['tiny', 'tuned']);
    const checkpoint = openCheckpoint(join(server.folder, 'tiny.gguf'));
    const { files } = await compress({ base: checkpoint, adapter, types: ['f16'], folder: server.folder });
    checkpoint.close();
    const merged = join(server.folder, files[0].name);
    expect((await server.post('/admin/models', { id: 'merged', path: merged }, ADMIN)).status).toBe(201);
    const tuned = await say('tuned');
    expect(tuned).not.toBe(base);
    expect(tuned).toBe(await say('merged'));
    expect((await remove('/admin/models/merged')).status).toBe(200);
  });

  it('mix with the base in flight, each with its own answer', async () => {
    const prompts = ['one', 'two', 'three'];
    const alone = [];
    for (const prompt of prompts) alone.push([await say('tiny', prompt), await say('tuned', prompt)]);
    const together = await Promise.all(
      prompts.map((prompt) => Promise.all([say('tiny', prompt), say('tuned', prompt)])),
    );
    expect(together).toEqual(alone);
  });

  it('are dropped, and their name is free again', async () => {
    expect((await remove('/admin/models/tuned')).status).toBe(404);
    expect((await remove('/admin/adapters/tuned')).status).toBe(200);
    expect(await names()).toEqual(['tiny']);
    expect((await server.post('/admin/adapters', { id: 'tuned', path: adapter }, ADMIN)).status).toBe(201);
    expect(await say('tuned')).not.toBe(await say('tiny'));
    await remove('/admin/adapters/tuned');
    // the base, the only one left, does not answer for it
    await expect(say('tuned')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
  });
});

describe('models', () => {
  it('come and go by name, and the others go on', async () => {
    const path = join(server.folder, 'second.gguf');
    writeTinyStudent(path, 8);
    expect((await server.post('/admin/models', { path }, ADMIN)).status).toBe(201);
    expect(await names()).toEqual(['tiny', 'second']);
    expect(await say('second')).not.toBe(await say('tiny'));
    await expect(say('third')).rejects.toMatchObject({ status: 404, code: 'model_not_found' });
    expect((await server.post('/admin/models', { path }, ADMIN)).status).toBe(409);
    const long = {
      model: 'second',
      prompt: 'still in flight',
      max_tokens: 200,
      ignore_eos: true,
      stream: true,
    } as const;
    const flying = await server.client.completions.create(long);
    const chunks = flying[Symbol.asyncIterator]();
    await chunks.next();
    const removed = remove('/admin/models/second');
    let last: string | null = null;
    for (let each = await chunks.next(); !each.done; each = await chunks.next())
      last = each.value.choices[0].finish_reason;
    expect(last).toBe('length');
    expect((await removed).status).toBe(200);
    expect(await names()).toEqual(['tiny']);
  });

  it('that cannot be loaded leave everything as it was', async () => {
    const response = await server.post('/admin/models', { path: join(server.folder, 'nothing.gguf') }, ADMIN);
    expect(response.status).toBe(400);
    expect((await server.post('/admin/adapters', { id: 'a', path: server.folder }, ADMIN)).status).toBe(400);
    expect(await names()).toEqual(['tiny']);
  });

  it('the last one stays', async () => {
    expect((await remove('/admin/models/tiny')).status).toBe(409);
  });
});

it('what is loaded later may be refused as at the start', async () => {
  const strict = await startTinyServer({
    adminKey: 'secret',
    admit: async (kind, path) => {
      throw new CupelError(`unproven ${kind}`, { place: { file: path } });
    },
  });
  const path = join(strict.folder, 'tiny.gguf');
  const model = await strict.post('/admin/models', { id: 'second', path }, ADMIN);
  expect(model.status).toBe(400);
  expect(await model.text()).toMatch(/unproven model/);
  expect((await strict.post('/admin/adapters', { id: 'tuned', path: adapter }, ADMIN)).status).toBe(400);
  expect((await strict.client.models.list()).data.map(({ id }) => id)).toEqual(['tiny']);
  await strict.close();
});

it('only the holder of the admin key changes what is served', async () => {
  const wrong = { headers: { authorization: 'Bearer guess' } };
  expect((await server.post('/admin/models', { path: 'x' }, wrong)).status).toBe(401);
  expect((await server.post('/admin/models', { path: 'x' })).status).toBe(401);
  const open = await startTinyServer();
  expect((await open.post('/admin/models', { path: 'x' }, ADMIN)).status).toBe(403);
  await open.close();
});
