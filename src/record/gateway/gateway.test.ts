// The gateway from end to end: what callers and upstreams see, and what is stored of it.
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import type { ServerResponse } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { gzipSync } from 'node:zlib';
import { InMemorySpanExporter, SimpleSpanProcessor } from '@opentelemetry/sdk-trace-base';
import OpenAI from 'openai';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { type Answer, chat, events, json, type MockUpstream, mockUpstream } from '../../../test/mock-upstream.ts';
import { priceFrom } from '../price.ts';
import type { StoredExchange } from '../store/store.ts';
import { type Gateway, startGateway } from './gateway.ts';
import { makeLog } from './log.ts';
import { makeTracing } from './tracing.ts';

const workspace = mkdtempSync(join(tmpdir(), 'cupel-gateway-'));
const spans = new InMemorySpanExporter();
const log: string[] = [];
let answer: Answer = chat;
let second: Answer = chat;
let upstream: MockUpstream;
let spare: MockUpstream;
let gateway: Gateway;

beforeAll(async () => {
  upstream = await mockUpstream((asked, response) => answer(asked, response));
  spare = await mockUpstream((asked, response) => second(asked, response));
  gateway = await startGateway({
    workspace,
    upstreams: [
      { url: upstream.url, key: 'upstream-secret', name: 'first' },
      { url: spare.url, name: 'spare', model: 'spare-model' },
    ],
    policy: { retries: 1, backoffMs: 5, connectMs: 1000, firstByteMs: 400, idleMs: 400 },
    price: priceFrom({
      'gpt-*': { input: 1e6, output: 2e6, cached: 0.5e6 },
      'spare-model': { input: 10e6, output: 20e6, cached: 5e6 },
    }),
    log: makeLog('info', { write: (line: string) => void log.push(line) }),
    tracing: makeTracing(new SimpleSpanProcessor(spans)),
    maxRequestBytes: 100_000,
    access: 'open',
  });
});
afterAll(async () => {
  await gateway?.close(500);
  await upstream?.close();
  await spare?.close();
  rmSync(workspace, { recursive: true, force: true });
});

const ask = (content: string, more: object = {}, headers: Record<string, string> = {}, signal?: AbortSignal) =>
  fetch(`${gateway.url}/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json', ...headers },
    body: JSON.stringify({ model: 'gpt-test', messages: [{ role: 'user', content }], ...more }),
    signal,
  });

async function stored(id: string | null): Promise<StoredExchange> {
  await gateway.recorder.settled(10_000);
  const rows = await gateway.recorder.store.page({ filter: {}, limit: 1000 });
  return rows.find((row) => row.id === id)!;
}
const lastStored = async () => {
  await gateway.recorder.settled(10_000);
  return (await gateway.recorder.store.page({ filter: {}, limit: 1000 })).at(-1)!;
};

test('an exchange passes unchanged and is stored with usage, times, money, tags and user', async () => {
  answer = chat;
  const body = { seed: 7, tools: [{ type: 'function', function: { name: 'f' } }], user: 'u-17' };
  const response = await ask('hello', body, {
    'x-api-key': 'cupel-some-key',
    'x-cupel-tags': 'team=support,stage=live',
    'x-cupel-tag-app': 'web',
  });
  const text = await response.text();
  expect(response.status).toBe(200);
  expect(JSON.parse(text).choices[0].message.content).toBe('echo: hello');
  const seen = upstream.asked.at(-1)!;
  expect(JSON.parse(seen.body)).toEqual({ model: 'gpt-test', messages: [{ role: 'user', content: 'hello' }], ...body });
  expect(seen.headers.authorization).toBe('Bearer upstream-secret');
  expect(Object.keys(seen.headers).filter((name) => name.startsWith('x-'))).toEqual([]);
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(row.request).toEqual(JSON.parse(seen.body));
  expect(row.response).toEqual(JSON.parse(text));
  expect(row).toMatchObject({
    endpoint: 'chat/completions',
    model: 'gpt-test',
    upstream: 'first',
    attempts: 1,
    status: 200,
    outcome: 'complete',
    streamed: false,
    prompt_tokens: 20,
    cached_tokens: 8,
    completion_tokens: 5,
    reasoning_tokens: 2,
    usd: 12 + 4 + 10,
    user_id: 'u-17',
    tags: { team: 'support', stage: 'live', app: 'web' },
  });
  expect(row.completion_id).toBe(JSON.parse(text).id);
  expect(row.first_token_ms).toBeGreaterThan(0);
  expect(row.latency_ms).toBeGreaterThanOrEqual(row.first_token_ms!);
});

test('a stream comes byte for byte, as it is written, and is stored put together', async () => {
  const parts = events('chatcmpl-s', ['你好', ', world', '\u{1F600}']);
  const bytes = Buffer.from(parts.join(''));
  const cuts = [0, 7, 100, 301, 302, 303, 500, bytes.length - 9, bytes.length];
  answer = async (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'x-request-id': 'r1' });
    for (let i = 1; i < cuts.length; i++) {
      response.write(bytes.subarray(cuts[i - 1], cuts[i]));
      await sleep(40);
    }
    response.end();
  };
  const response = await ask('hi', { stream: true });
  const got: Buffer[] = [];
  for await (const chunk of response.body!) got.push(Buffer.from(chunk));
  expect(Buffer.concat(got).equals(bytes)).toBe(true);
  expect(got.length).toBeGreaterThan(4);
  expect(response.headers.get('x-request-id')).toBe('r1');
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(row).toMatchObject({ streamed: true, outcome: 'complete', prompt_tokens: 20, completion_id: 'chatcmpl-s' });
  expect(row.response).toMatchObject({
    object: 'chat.completion',
    choices: [{ index: 0, message: { role: 'assistant', content: '你好, world\u{1F600}' }, finish_reason: 'stop' }],
  });
  expect(row.latency_ms - row.first_token_ms!).toBeGreaterThan(60);
});

test("OpenAI's own client works through it, streamed and not", async () => {
  answer = chat;
  const client = new OpenAI({ baseURL: gateway.url, apiKey: 'sk-callers-own' });
  const whole = await client.chat.completions.create({ model: 'gpt-x', messages: [{ role: 'user', content: 'a' }] });
  expect(whole.choices[0].message.content).toBe('echo: a');
  const stream = await client.chat.completions.create({
    model: 'gpt-x',
    messages: [{ role: 'user', content: 'b' }],
    stream: true,
  });
  let text = '';
  for await (const chunk of stream) text += chunk.choices[0]?.delta.content ?? '';
  expect(text).toBe('echo: b');
});

test('when the caller hangs up the upstream is cut off, and the part that came is stored', async () => {
  answer = async (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    for (const event of events('chatcmpl-c', ['one ', 'two ', 'three '])) {
      response.write(event);
      await sleep(200);
    }
    response.end();
  };
  const controller = new AbortController();
  const response = await ask('hi', { stream: true }, {}, controller.signal);
  const reader = response.body!.getReader();
  await reader.read();
  await sleep(250);
  controller.abort();
  await expect.poll(() => upstream.asked.at(-1)!.cut, { timeout: 3000 }).toBe(true);
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(row).toMatchObject({ outcome: 'cancelled', streamed: true, status: 200 });
  expect(JSON.stringify(row.response)).toContain('one ');
});

test('the upstream is cut off too when the caller hangs up before the answer begins', async () => {
  answer = () => {};
  const controller = new AbortController();
  const asked = upstream.asked.length;
  const sent = ask('never', {}, {}, controller.signal).catch(() => 'gone');
  await expect.poll(() => upstream.asked.length, { timeout: 3000 }).toBe(asked + 1);
  controller.abort();
  expect(await sent).toBe('gone');
  await expect.poll(() => upstream.asked.at(-1)!.cut, { timeout: 3000 }).toBe(true);
  expect(await lastStored()).toMatchObject({ outcome: 'cancelled', status: 499, response: null });
});

test('a passing failure is tried again', async () => {
  let tries = 0;
  answer = (asked, response) =>
    ++tries === 1 ? json(response, 503, { error: { message: 'busy' } }) : chat(asked, response);
  const response = await ask('again');
  expect(response.status).toBe(200);
  expect(tries).toBe(2);
  expect(await stored(response.headers.get('x-cupel-exchange'))).toMatchObject({ attempts: 2, upstream: 'first' });
});

test('the second upstream takes over, with its own name for the model and without the first key', async () => {
  answer = (_asked, response) => json(response, 500, { error: { message: 'down' } });
  second = chat;
  const response = await ask('over', {}, { authorization: 'Bearer sk-callers-own', 'api-key': 'callers-azure-key' });
  expect(response.status).toBe(200);
  const seen = spare.asked.at(-1)!;
  expect(JSON.parse(seen.body).model).toBe('spare-model');
  expect(seen.headers.authorization).toBe('Bearer sk-callers-own');
  expect(seen.headers['api-key']).toBe('callers-azure-key');
  expect(upstream.asked.at(-1)!.headers).not.toHaveProperty('api-key');
  expect(await stored(response.headers.get('x-cupel-exchange'))).toMatchObject({
    attempts: 3,
    upstream: 'spare',
    // money is that of the model that answered
    usd: 120 + 40 + 100,
  });
});

test("the caller's errors are kept as they are: status, body, headers", async () => {
  const body = '{"error": {"message": "bad temperature",   "type": "invalid_request_error"}}\n';
  answer = (_asked, response) => {
    response.writeHead(400, { 'content-type': 'application/json', 'x-ratelimit-remaining': '3' });
    response.end(body);
  };
  const response = await ask('x', { temperature: 9 });
  expect([response.status, await response.text()]).toEqual([400, body]);
  expect(response.headers.get('x-ratelimit-remaining')).toBe('3');
  expect(await stored(response.headers.get('x-cupel-exchange'))).toMatchObject({ outcome: 'error', status: 400 });
  // a failure that stays is shown as the last upstream told it
  answer = (_asked, response) => json(response, 429, { error: { message: 'slow down' } }, { 'retry-after': '30' });
  second = (_asked, response) => json(response, 429, { error: { message: 'slow down too' } }, { 'retry-after': '60' });
  const limited = await ask('x');
  expect([limited.status, limited.headers.get('retry-after')]).toEqual([429, '60']);
  expect(await limited.json()).toEqual({ error: { message: 'slow down too' } });
});

test('an upstream that is silent becomes a 504, one that is away a 502', async () => {
  answer = () => {};
  second = () => {};
  const late = await ask('x');
  expect(late.status).toBe(504);
  expect(((await late.json()) as { error: object }).error).toMatchObject({
    code: 'upstream_timeout',
    type: 'api_error',
  });
  answer = (_asked, response) => void response.destroy();
  second = answer;
  const away = await ask('x');
  expect(away.status).toBe(502);
  expect(await stored(away.headers.get('x-cupel-exchange'))).toMatchObject({ outcome: 'error', status: 502 });
});

test('an answer that breaks off in the middle is cut for the caller too, and stored as broken', async () => {
  const broken = (response: ServerResponse, type: string) => {
    response.writeHead(200, { 'content-type': type });
    response.write(type === 'text/event-stream' ? events('chatcmpl-b', ['par'])[1] : '{"id": "chatcmpl-b", "choi');
    setTimeout(() => response.destroy(), 50);
  };
  answer = (_asked, response) => broken(response, 'text/event-stream');
  const response = await ask('x', { stream: true });
  await expect(response.text()).rejects.toThrow();
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(row.outcome).toBe('broken');
  expect(JSON.stringify(row.response)).toContain('par');
  answer = (_asked, response) => broken(response, 'application/json');
  // nothing was sent yet, so this one can be told properly
  expect((await ask('x')).status).toBe(502);
});

test('a text that mentions the end mark is no end; the time to the first token is that of the first text', async () => {
  const [head, ...rest] = events('chatcmpl-d', ['it ends with data: [DONE]', ' as I said']);
  answer = async (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(`: waiting\n\n${head}`);
    await sleep(120);
    for (const event of rest) {
      response.write(event);
      await sleep(10);
    }
    response.end();
  };
  const response = await ask('x', { stream: true });
  expect(await response.text()).toContain('as I said');
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(row).toMatchObject({ outcome: 'complete', prompt_tokens: 20 });
  expect(JSON.stringify(row.response)).toContain('it ends with data: [DONE] as I said');
  expect(row.first_token_ms).toBeGreaterThan(100);
});

test('an error within a stream is recorded as one', async () => {
  answer = (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.end(`${events('chatcmpl-e', ['a'])[1]}data: {"error":{"message":"out of memory"}}\n\ndata: [DONE]\n\n`);
  };
  const response = await ask('x', { stream: true });
  expect(await response.text()).toContain('out of memory');
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(row).toMatchObject({ outcome: 'error', status: 200, response: { error: { message: 'out of memory' } } });
});

test('the end of a compressed stream too waits until the exchange is on file', async () => {
  const packed = gzipSync(events('chatcmpl-z', ['squeezed']).join(''));
  let release = () => {};
  answer = async (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream', 'content-encoding': 'gzip' });
    response.write(packed.subarray(0, 20));
    await sleep(20);
    response.write(packed.subarray(20));
    await new Promise<void>((resolve) => {
      release = resolve;
    });
    response.end();
  };
  const response = await ask('zip', { stream: true });
  let text = '';
  const reading = (async () => {
    for await (const chunk of response.body!.pipeThrough(new TextDecoderStream())) text += chunk;
  })();
  await sleep(200);
  // all bytes have come from the upstream, but it has not ended: nothing is on file yet
  expect(text).not.toContain('[DONE]');
  release();
  await reading;
  expect(text).toContain('data: [DONE]');
  expect((await stored(response.headers.get('x-cupel-exchange'))).response).toMatchObject({
    choices: [{ message: { content: 'squeezed' } }],
  });
});

test('a large answer names its exchange, and one that is packed in an unknown way is only noted', async () => {
  answer = async (_asked, response) => {
    response.writeHead(200, { 'content-type': 'application/json' });
    response.write('{"id":"large",');
    await sleep(20);
    response.end('"choices":[]}');
  };
  const large = await ask('large');
  expect(await large.json()).toEqual({ id: 'large', choices: [] });
  expect(await stored(large.headers.get('x-cupel-exchange'))).toMatchObject({ completion_id: 'large' });
  answer = (_asked, response) => {
    response.writeHead(200, { 'content-type': 'application/json', 'content-encoding': 'zstd' });
    response.end('packed');
  };
  const packed = await ask('packed');
  expect((await stored(packed.headers.get('x-cupel-exchange'))).response).toEqual({
    content_type: 'application/json',
    bytes: 6,
  });
});

test('embeddings cost their prompt', async () => {
  answer = (_asked, response) =>
    json(response, 200, { object: 'list', data: [], usage: { prompt_tokens: 3, total_tokens: 3 } });
  const sent = await fetch(`${gateway.url}/embeddings`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-embed', input: 'a' }),
  });
  expect(await stored(sent.headers.get('x-cupel-exchange'))).toMatchObject({ prompt_tokens: 3, usd: 3 });
});

test('silence within a stream ends it', async () => {
  answer = (_asked, response) => {
    response.writeHead(200, { 'content-type': 'text/event-stream' });
    response.write(events('chatcmpl-i', ['a'])[1]);
  };
  const response = await ask('x', { stream: true });
  await expect(response.text()).rejects.toThrow();
  expect(await stored(response.headers.get('x-cupel-exchange'))).toMatchObject({ outcome: 'broken' });
});

test('feedback reaches the exchange by its id and by the completion id', async () => {
  answer = chat;
  const response = await ask('judge me');
  const id = response.headers.get('x-cupel-exchange')!;
  const completion = ((await response.json()) as { id: string }).id;
  const give = (body: unknown) => fetch(`${gateway.url}/feedback`, { method: 'POST', body: JSON.stringify(body) });
  expect((await give({ id, score: 0.5 })).status).toBe(201);
  expect((await give({ id: completion, corrected: 'call +1 415 555 2671' })).status).toBe(201);
  const { feedback } = await stored(id);
  expect(feedback.map(({ score, corrected }) => [score, corrected !== null])).toEqual([
    [0.5, false],
    [null, true],
  ]);
  expect(JSON.stringify(feedback)).not.toContain('415 555 2671');
  for (const wrong of [{}, { id }, { id, score: 'x' }, { id: '', score: 1 }]) {
    expect((await give(wrong)).status).toBe(400);
  }
  const say = (init: RequestInit) => fetch(`${gateway.url}/feedback`, init);
  const broken = await say({ method: 'POST', body: '{"id": ' });
  expect([broken.status, ((await broken.json()) as { error: { code: string } }).error.code]).toEqual([
    400,
    'invalid_json',
  ]);
  expect((await say({ method: 'GET' })).status).toBe(405);
});

test('secrets are stored as pseudonyms, passed on as they are', async () => {
  answer = chat;
  const secret = 'my card is 4111 1111 1111 1111, mail me at ann.lee@corp-mail.com';
  const response = await ask(secret, {}, { 'x-cupel-user': 'ann.lee@corp-mail.com' });
  expect(await response.text()).toContain(secret);
  const row = await stored(response.headers.get('x-cupel-exchange'));
  expect(JSON.stringify(row)).not.toMatch(/4111 1111|ann\.lee/);
  expect(row.redactions).toMatchObject({ card: 2, email: 2 });
  // the same address is the same pseudonym in the prompt, the answer and the user
  expect(JSON.stringify(row.request)).toContain(row.user_id!);
  expect(JSON.stringify(row.response)).toContain(row.user_id!);
});

test('what is too large, broken or out of bounds is refused before the upstream sees it', async () => {
  answer = chat;
  const before = upstream.asked.length;
  const large = await ask('x'.repeat(200_000));
  expect(large.status).toBe(413);
  expect(((await large.json()) as { error: object }).error).toMatchObject({ code: 'request_too_large' });
  expect((await fetch(`${gateway.url}/files/..%2fadmin`, { method: 'POST' })).status).toBe(400);
  expect((await fetch(gateway.url.replace('/v1', '/admin/keys'))).status).toBe(404);
  expect(upstream.asked.length).toBe(before);
});

test('other paths and bodies that are no JSON pass as well', async () => {
  answer = (asked, response) => {
    response.writeHead(200, { 'content-type': 'application/octet-stream' });
    response.end(Buffer.from(asked.body.length.toString()));
  };
  const list = await fetch(`${gateway.url}/models?limit=2`);
  expect(await list.text()).toBe('0');
  expect(upstream.asked.at(-1)).toMatchObject({ method: 'GET', url: '/v1/models?limit=2' });
  const form = new FormData();
  form.set('file', new Blob(['RIFF']), 'a.wav');
  const sent = await fetch(`${gateway.url}/audio/transcriptions`, { method: 'POST', body: form });
  expect(sent.status).toBe(200);
  const row = await stored(sent.headers.get('x-cupel-exchange'));
  expect(row.request).toMatchObject({ content_type: expect.stringContaining('multipart/form-data') });
});

test('metrics count what went through, and one span tells each exchange', async () => {
  answer = chat;
  const traceparent = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01';
  const response = await ask('traced', {}, { traceparent });
  await response.text();
  await gateway.recorder.settled(10_000);
  const text = await (await fetch(`${gateway.adminUrl}/metrics`)).text();
  const { stored: all } = await gateway.recorder.status();
  expect(text).toContain(`cupel_store_stored ${all}\n`);
  expect(all).toBeGreaterThan(10);
  expect(text).toMatch(
    /cupel_gateway_exchanges_total\{endpoint="chat\/completions",upstream="first",status="200",outcome="complete"\} \d+/,
  );
  expect(text).toMatch(/cupel_gateway_tokens_total\{kind="prompt"\} \d+/);
  expect(text).toMatch(/cupel_store_connected 1/);
  expect(text).toMatch(/cupel_gateway_in_flight 0/);
  const span = spans.getFinishedSpans().at(-1)!;
  expect(span.name).toBe('chat gpt-test');
  expect(span.resource.attributes).toMatchObject({ 'service.name': 'cupel-gateway' });
  expect(span.spanContext().traceId).toBe('0af7651916cd43dd8448eb211c80319c');
  expect(span.parentSpanContext?.spanId).toBe('b7ad6b7169203331');
  expect(upstream.asked.at(-1)!.headers.traceparent).toContain(
    `${span.spanContext().traceId}-${span.spanContext().spanId}`,
  );
  expect(span.attributes).toMatchObject({
    'gen_ai.request.model': 'gpt-test',
    'gen_ai.usage.input_tokens': 20,
    'cupel.exchange.id': response.headers.get('x-cupel-exchange'),
  });
  // Azure's clients put the deployment before the endpoint
  const azure = await fetch(`${gateway.url}/deployments/gpt-test/chat/completions`, {
    method: 'POST',
    headers: { 'content-type': 'application/json' },
    body: JSON.stringify({ model: 'gpt-test', messages: [{ role: 'user', content: 'x' }] }),
  });
  await azure.text();
  await expect
    .poll(() => spans.getFinishedSpans().at(-1)!.attributes)
    .toMatchObject({
      'gen_ai.operation.name': 'chat',
      'cupel.exchange.id': azure.headers.get('x-cupel-exchange'),
    });
});

test('the log has a line for each exchange and none of what was said', () => {
  const all = log.join('');
  expect(log.filter((line) => JSON.parse(line).msg === 'exchange').length).toBeGreaterThan(10);
  expect(all).not.toMatch(/hello|echo|4111|ann\.lee|upstream-secret|sk-callers-own/);
  expect(JSON.stringify(spans.getFinishedSpans().map((span) => span.attributes))).not.toMatch(/hello|echo:/);
});

test('the administrator file is for its owner only', () => {
  const { token, url } = JSON.parse(readFileSync(join(workspace, 'record', 'admin.json'), 'utf8'));
  expect(url).toBe(gateway.adminUrl);
  expect(token.length).toBeGreaterThan(40);
});
