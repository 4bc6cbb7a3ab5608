// Data sets by reference: a local server stands in for the hub and ModelScope.
import { createHash } from 'node:crypto';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, beforeEach, expect, test } from 'vitest';
import { datasetReference, fetchDataset } from './dataset.ts';

let server: Server;
let base = '';
let folder = '';
let routes: Record<string, string> = {};
let asked: string[] = [];

beforeAll(async () => {
  server = createServer((request, response) => {
    const url = request.url!.split('?')[0];
    asked.push(url);
    const body = routes[url];
    response.writeHead(body === undefined ? 404 : 200).end(body);
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
});
afterAll(() => void server.close());
beforeEach(() => {
  asked = [];
  routes = {};
  folder = mkdtempSync(join(tmpdir(), 'cupel-dataset-'));
  return () => rmSync(folder, { recursive: true });
});

const env = () => ({ CUPEL_CACHE: folder, HF_ENDPOINT: `${base}/hub`, MODELSCOPE_ENDPOINT: `${base}/scope` });
const reference = datasetReference('hf://datasets/owner/data')!;
const choose = (names: readonly string[]) => names.filter((name) => name.endsWith('.csv'));
const oid = (text: string) => createHash('sha256').update(text).digest('hex');

test('references are read, and what is none is left alone', () => {
  expect(datasetReference('hf://datasets/a/b')).toEqual({ owner: 'a', name: 'b', revision: 'main', path: '' });
  expect(datasetReference('hf://datasets/a/b@v1/data/x.csv')).toMatchObject({ revision: 'v1', path: 'data/x.csv' });
  for (const text of ['/data', 'a/b', 'hf://datasets/a', 'hf://datasets/../b', 'hf://models/a/b'])
    expect(datasetReference(text)).toBeUndefined();
});

test('the chosen files come from the hub, checked, and are not fetched twice', async () => {
  const text = 'question,answer\n1,2\n';
  routes['/hub/api/datasets/owner/data/tree/main'] = JSON.stringify([
    { type: 'directory', path: 'en' },
    { type: 'file', path: 'en/test.csv', size: 1, lfs: { oid: oid(text), size: text.length } },
    { type: 'file', path: 'README.md', size: 4 },
    { type: 'file', path: '../out.csv', size: 4 },
  ]);
  routes['/hub/datasets/owner/data/resolve/main/en/test.csv'] = text;
  const found = await fetchDataset(reference, { choose, env: env() });
  expect(readFileSync(join(found, 'en/test.csv'), 'utf8')).toBe(text);
  expect(existsSync(join(found, 'README.md'))).toBe(false);
  expect(asked.some((url) => url.includes('out.csv'))).toBe(false);
  const before = asked.length;
  await fetchDataset(reference, { choose, env: env() });
  expect(asked.slice(before)).toEqual(['/hub/api/datasets/owner/data/tree/main']);
  routes = {};
  expect(await fetchDataset(reference, { choose, env: env() })).toBe(found);
});

test('ModelScope stands in where the hub has nothing, or other content than it states', async () => {
  routes['/hub/api/datasets/owner/data/tree/main'] = JSON.stringify([
    { type: 'file', path: 'test.csv', size: 3, lfs: { oid: oid('abc'), size: 3 } },
  ]);
  routes['/hub/datasets/owner/data/resolve/main/test.csv'] = 'bad';
  routes['/scope/api/v1/datasets/owner/data/repo/tree'] = JSON.stringify({
    Data: { Files: [{ Type: 'blob', Path: 'test.csv', Size: 3, Sha256: oid('abc') }] },
  });
  routes['/scope/datasets/owner/data/resolve/master/test.csv'] = 'abc';
  const found = await fetchDataset(reference, { choose, env: env() });
  expect(readFileSync(join(found, 'test.csv'), 'utf8')).toBe('abc');
});

test('nowhere to be had: each place and its reason, and a remedy; half a data set is none', async () => {
  const failing = fetchDataset(reference, { choose, env: env() });
  await expect(failing).rejects.toThrow(/owner\/data[\s\S]*hub\/datasets[\s\S]*404[\s\S]*scope\/datasets/);
  await expect(failing).rejects.toMatchObject({ remedy: expect.stringContaining('HF_ENDPOINT') });
  routes['/hub/api/datasets/owner/data/tree/main'] = JSON.stringify([
    { type: 'file', path: 'a.csv', size: 1 },
    { type: 'file', path: 'b.csv', size: 1 },
  ]);
  routes['/hub/datasets/owner/data/resolve/main/a.csv'] = 'a';
  await expect(fetchDataset(reference, { choose, env: env() })).rejects.toThrow(/could not be fetched/);
  routes = {};
  await expect(fetchDataset(reference, { choose, env: env() })).rejects.toThrow(/could not be fetched/);
});
