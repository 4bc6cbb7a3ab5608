// Who may do what: keys and their limits, the administrator's port, deletion of what was recorded.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { chat, events, type MockUpstream, mockUpstream } from '../../../test/mock-upstream.ts';
import { priceFrom } from '../price.ts';
import { allExchanges, openRecordings } from '../recordings.ts';
import type { ApiKey } from '../store/store.ts';
import { type Gateway, type GatewayOptions, startGateway } from './gateway.ts';
import { makeKey } from './keys.ts';
import { Limits } from './limits.ts';
import { makeLog } from './log.ts';
import type { Problem } from './problem.ts';

const workspace = mkdtempSync(join(tmpdir(), 'cupel-access-'));
let upstream: MockUpstream;
let gateway: Gateway;
/** Streams say nothing of usage, as OpenAI's do unless they are asked. */
let silent = false;
const options = (): GatewayOptions => ({
  workspace,
  upstreams: [{ url: upstream.url, key: 'upstream-secret' }],
  price: priceFrom({ priced: { input: 100_000, output: 0 } }),
  log: makeLog('silent'),
});

beforeAll(async () => {
  upstream = await mockUpstream((asked, response) => {
    if (!silent) return chat(asked, response);
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(
      events('c', ['a'])
        .filter((event) => !event.includes('usage'))
        .join(''),
    );
  });
  gateway = await startGateway(options());
});
afterAll(async () => {
  await gateway.close(500);
  await upstream.close();
  rmSync(workspace, { recursive: true, force: true });
});

const token = () => JSON.parse(readFileSync(join(workspace, 'record', 'admin.json'), 'utf8')).token as string;
const admin = (method: string, path: string, body?: unknown, bearer = token()) =>
  fetch(`${gateway.adminUrl}/admin/${path}`, {
    method,
    headers: { authorization: `Bearer ${bearer}` },
    ...(body === undefined ? {} : { body: JSON.stringify(body) }),
  });
const newKey = async (body: object) =>
  (await (await admin('POST', 'keys', body)).json()) as { id: string; key: string };
const ask = (key?: string, more: object = {}, headers: Record<string, string> = {}) =>
  fetch(`${gateway.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...(key ? { authorization: `Bearer ${key}` } : {}), ...headers },
    body: JSON.stringify({ model: 'priced', messages: [{ role: 'user', content: 'hello' }], ...more }),
  });
const codeOf = async (response: Response) => ((await response.json()) as { error: { code: string } }).error.code;

test('without any key the gateway is open; the first key closes it, also after it was revoked', async () => {
  expect((await ask()).status).toBe(200);
  const { id, key } = await newKey({ name: 'first' });
  expect((await ask()).status).toBe(401);
  expect((await ask(key)).status).toBe(200);
  expect((await ask('sk-somebody')).status).toBe(401);
  expect((await ask(`${key}x`)).status).toBe(401);
  expect((await ask(undefined, {}, { 'api-key': key })).status).toBe(200);
  // the key of the gateway stays at the gateway
  const { headers } = upstream.asked.at(-1)!;
  expect(headers.authorization).toBe('Bearer upstream-secret');
  expect(JSON.stringify(headers)).not.toContain(key);
  expect((await admin('DELETE', `keys/${id}`)).status).toBe(200);
  expect((await admin('DELETE', `keys/${id}`)).status).toBe(404);
  expect((await ask(key)).status).toBe(401);
  expect((await ask()).status).toBe(401);
});

test('keys are stored as hashes: neither the copy on disk nor the list has them', async () => {
  const { key } = await newKey({ name: 'hashed' });
  const listed = await (await admin('GET', 'keys')).text();
  const copy = readFileSync(join(workspace, 'record', 'keys.json'), 'utf8');
  expect(listed).toContain('"hashed"');
  expect(listed + copy).not.toContain(key);
  expect(listed).not.toContain('"hash"');
});

test('requests a minute are limited, with the seconds to wait', async () => {
  const { key } = await newKey({ name: 'slow', requests_per_minute: 2 });
  expect([(await ask(key)).status, (await ask(key)).status]).toEqual([200, 200]);
  const refused = await ask(key);
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(20);
  expect(await codeOf(refused)).toBe('rate_limit_exceeded');
});

test('money a day is limited, for streams without usage too, and survives a restart', async () => {
  const { key } = await newKey({ name: 'poor', usd_per_day: 3 });
  // 20 prompt tokens at 0.1 dollars
  expect((await ask(key)).status).toBe(200);
  // its stream says nothing of usage: the length of what was said counts
  silent = true;
  await (await ask(key, { stream: true, messages: [{ role: 'user', content: 'x'.repeat(40) }] })).text();
  silent = false;
  const refused = await ask(key);
  expect(refused.status).toBe(429);
  expect(await codeOf(refused)).toBe('insufficient_quota');
  expect(await codeOf(await ask(key, { model: 'unknown' }))).toBe('unpriced_model');
  await gateway.close(500);
  gateway = await startGateway(options());
  expect((await ask(key)).status).toBe(429);
});

test('the administrator port needs its token, and applications cannot reach it', async () => {
  expect((await admin('GET', 'keys', undefined, 'wrong')).status).toBe(401);
  expect((await fetch(`${gateway.adminUrl}/admin/keys`)).status).toBe(401);
  const { key } = await newKey({ name: 'app' });
  expect((await admin('GET', 'keys', undefined, key)).status).toBe(401);
  expect((await ask(token())).status).toBe(401);
  expect((await fetch(`${gateway.adminUrl}/healthz`)).status).toBe(200);
  expect((await admin('POST', 'keys', { name: '' })).status).toBe(400);
  expect((await admin('POST', 'keys', { name: 'x', admin: true })).status).toBe(400);
});

test('recordings are read through the running gateway, and removed by user or tag under their pseudonyms', async () => {
  const { key } = await newKey({ name: 'labels' });
  await ask(key, {}, { 'x-cupel-user': 'eve.adams@corp-mail.com', 'x-cupel-tag-case': '17' });
  await ask(key, {}, { 'x-cupel-user': 'someone', 'x-cupel-tag-case': '18' });
  const get = async (query: string) =>
    ((await (await admin('GET', `exchanges?${query}`)).json()) as { data: { id: string; user_id: string }[] }).data;
  const [row] = await get('user=eve.adams@corp-mail.com');
  expect(row.user_id).toMatch(/^user-\w{8}@example\.com$/);
  expect((await admin('DELETE', 'exchanges')).status).toBe(400);
  const removed = await admin('DELETE', 'exchanges?user=eve.adams@corp-mail.com');
  expect(await removed.json()).toEqual({ removed: 1 });
  expect(await get('user=eve.adams@corp-mail.com')).toEqual([]);
  expect((await get('tag=case%3D18')).length).toBe(1);
  expect(await (await admin('DELETE', 'exchanges?tag=case%3D18')).json()).toEqual({ removed: 1 });
  expect((await admin('GET', 'exchanges?since=yesterday')).status).toBe(400);
});

test('other commands open the store itself once the gateway has stopped', async () => {
  const before = ((await (await admin('GET', 'status')).json()) as { exchanges: number }).exchanges;
  await gateway.close(500);
  const recordings = await openRecordings({ workspace });
  const seen: string[] = [];
  for await (const { id } of allExchanges(recordings, {})) seen.push(id);
  const { id, key } = await recordings.addKey({ name: 'offline' });
  expect(seen.length).toBe(before);
  expect(await recordings.revokeKey(id)).toBe(true);
  await recordings.close();
  gateway = await startGateway({ ...options(), retainDays: 1e-9 });
  expect((await ask(key)).status).toBe(401);
  // retention by age: everything is older than a ten-thousandth of a second
  await expect.poll(async () => (await gateway.recorder.store.counts()).exchanges, { timeout: 10_000 }).toBe(0);
});

describe('limits', () => {
  const key = (more: Partial<ApiKey>): ApiKey => ({ ...makeKey({ name: 'k' }).row, ...more });
  const refusal = (limits: Limits, one: ApiKey): Problem | undefined => {
    try {
      limits.admit(one);
    } catch (error) {
      return error as Problem;
    }
  };

  test('the bucket refills with time and no further than its size', () => {
    let now = 0;
    const limits = new Limits(() => now);
    const one = key({ requests_per_minute: 60 });
    const admitted = () => {
      let count = 0;
      while (!refusal(limits, one)) count++;
      return count;
    };
    expect(admitted()).toBe(60);
    now += 5_000;
    expect(admitted()).toBe(5);
    expect(refusal(limits, one)?.retryAfterSeconds).toBeCloseTo(1);
    now += 3_600_000;
    expect(admitted()).toBe(60);
  });

  test('money counts from midnight UTC, and what the store knows is not forgotten', () => {
    let now = Date.parse('2026-05-05T23:00:00Z');
    const limits = new Limits(() => now);
    const one = key({ usd_per_day: 10 });
    limits.spend(one, 4);
    limits.restore([one], new Map([[one.id, 7]]));
    limits.spend(one, 2.9);
    expect(refusal(limits, one)).toBeUndefined();
    limits.spend(one, 0.2);
    expect(refusal(limits, one)).toMatchObject({ code: 'insufficient_quota', retryAfterSeconds: 3600 });
    now += 3_600_000;
    expect(refusal(limits, one)).toBeUndefined();
  });
});
