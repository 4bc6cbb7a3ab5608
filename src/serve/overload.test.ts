// Many callers, callers that leave, and a server that stops.
import { expect, it } from 'vitest';
import { startTinyServer, type TinyServer } from '../../test/tiny-server.ts';

/** So long that a test only ends when it is cut off. */
const ENDLESS = { prompt: 'go', max_tokens: 1_000_000, ignore_eos: true, stream: true };
const CONTEXT = 150_000;

async function running(server: TinyServer): Promise<{ running: number; waiting: number }> {
  const { models } = (await (await server.get('/healthz')).json()) as {
    models: { running: number; waiting: number }[];
  };
  return models[0];
}

async function until(met: () => Promise<boolean>): Promise<void> {
  while (!(await met())) await new Promise((done) => setTimeout(done, 20));
}

it('a caller that hangs up frees its place at once, streaming or not', async () => {
  const server = await startTinyServer({ parallel: 1, contextTokens: CONTEXT });
  for (const stream of [true, false]) {
    const leaving = new AbortController();
    const gone = server.post('/v1/completions', { ...ENDLESS, stream }, { signal: leaving.signal });
    if (stream) await (await gone).body!.getReader().read();
    else await until(async () => (await running(server)).running === 1);
    leaving.abort();
    if (!stream) await expect(gone).rejects.toThrow();
    await until(async () => (await running(server)).running === 0);
    const answer = await server.client.completions.create({ model: 'tiny', prompt: 'next', max_tokens: 5 });
    expect(answer.choices).toHaveLength(1);
  }
  await server.close();
});

it('what does not fit the queue is told to come back later', async () => {
  const server = await startTinyServer({ parallel: 1, contextTokens: CONTEXT, queue: 1 });
  const leaving = new AbortController();
  const ask = () => server.post('/v1/completions', ENDLESS, { signal: leaving.signal });
  const accepted = [ask(), ask(), ask()].map((each) => each.catch(() => undefined));
  await until(async () => (await running(server)).waiting === 1);
  const refused = await ask();
  expect(refused.status).toBe(429);
  expect(Number(refused.headers.get('retry-after'))).toBeGreaterThan(0);
  expect(await refused.json()).toMatchObject({ error: { type: 'rate_limit_error', code: 'queue_full' } });
  leaving.abort();
  await Promise.all(accepted);
  await until(async () => (await running(server)).running === 0);
  expect(await running(server)).toMatchObject({ running: 0, waiting: 0 });
  await server.close();
});

it('closing finishes what is in flight and takes nothing new', async () => {
  const server = await startTinyServer({ contextTokens: 8192 });
  const response = await server.post('/v1/completions', { ...ENDLESS, max_tokens: 1500 });
  const reader = response.body!.getReader();
  const decoder = new TextDecoder();
  let text = decoder.decode((await reader.read()).value);
  const closed = server.close();
  await expect(server.post('/v1/completions', { prompt: 'late' })).rejects.toThrow();
  for (let part = await reader.read(); !part.done; part = await reader.read()) text += decoder.decode(part.value);
  expect(text).toContain('"finish_reason":"length"');
  expect(text.trimEnd().endsWith('data: [DONE]')).toBe(true);
  await closed;
});

it('closing cuts off what takes too long', async () => {
  const server = await startTinyServer({ contextTokens: CONTEXT, drainSeconds: 0.2 });
  const response = await server.post('/v1/completions', ENDLESS);
  const text = response.text();
  await server.close();
  expect(await text).toContain('"code":"stopping"');
});
