// The judge: both orders, ties, cache, agreement with people; and any OpenAI-compatible endpoint behind it.
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import type { Completer } from '../chat/completer.ts';
import { type JudgeItem, judgePairs } from './judge.ts';
import { remoteCompleter } from './remote.ts';
import { kappa } from './statistics/kappa.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-judge-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const part = (prompt: string, mark: string) => new RegExp(`<<<${mark}\\n(.*)\\n${mark}>>>`, 's').exec(prompt)![1];

function judgeBy(decide: (a: string, b: string) => string): { judge: Completer; asked: string[] } {
  const asked: string[] = [];
  const judge: Completer = {
    name: 'judge',
    concurrency: 2,
    complete: async ({ messages }) => {
      const prompt = String(messages[0].content);
      asked.push(prompt);
      const text = decide(part(prompt, 'ANSWER A'), part(prompt, 'ANSWER B'));
      return { text, finishReason: 'stop', promptTokens: 1, completionTokens: 1, seconds: 0 };
    },
    close: async () => {},
  };
  return { judge, asked };
}

const items: JudgeItem[] = [
  { id: '1', asked: 'q', student: 'long answer', teacher: 'short', human: 'student' },
  { id: '2', asked: 'q', student: 'a', teacher: 'bb', human: 'teacher' },
  { id: '3', asked: 'q', student: 'aa', teacher: 'bb', human: 'student' },
];
const longer = (a: string, b: string) =>
  `because\nVERDICT: ${a.length === b.length ? 'TIE' : a.length > b.length ? 'A' : 'B'}`;

test('a fair judge is believed, its reasons are kept, and agreement with people is reported', async () => {
  const { judge } = judgeBy(longer);
  const result = await judgePairs({ judge, items, cacheFile: join(root, 'fair.jsonl') });
  expect(result.judgements.map(({ preference, unsure }) => [preference, unsure])).toEqual([
    ['student', false],
    ['teacher', false],
    ['tie', false],
  ]);
  expect(result).toMatchObject({ studentShare: 0.5, unsure: 0, agreement: { n: 3 } });
  expect(result.agreement!.kappa).toBeCloseTo(0.5, 12);
  expect(result.judgements[0].rationales[0]).toMatch(/because/);
});

test('a judge that prefers the first answer, or says nothing, only ties', async () => {
  for (const [name, decide] of [
    ['first', () => 'VERDICT: A'],
    ['mute', () => 'hm'],
  ] as const) {
    const { judge } = judgeBy(decide);
    const { studentShare, unsure } = await judgePairs({ judge, items, cacheFile: join(root, `${name}.jsonl`) });
    expect({ studentShare, unsure }).toEqual({ studentShare: 0.5, unsure: 3 });
  }
});

test('nothing is asked twice', async () => {
  const cacheFile = join(root, 'cache.jsonl');
  const first = judgeBy(longer);
  const result = await judgePairs({ judge: first.judge, items, cacheFile });
  expect(first.asked).toHaveLength(6);
  const second = judgeBy(() => 'VERDICT: A');
  expect(await judgePairs({ judge: second.judge, items, cacheFile })).toEqual(result);
  expect(second.asked).toEqual([]);
});

test("Cohen's kappa", () => {
  // the classic example: 20 both yes, 5 and 10 apart, 15 both no
  const a = [...Array(25).fill('yes'), ...Array(25).fill('no')];
  const b = [...Array(20).fill('yes'), ...Array(5).fill('no'), ...Array(10).fill('yes'), ...Array(15).fill('no')];
  expect(kappa(a, b)).toBeCloseTo(0.4, 12);
  expect(kappa(['x', 'x'], ['x', 'x'])).toBe(1);
});

test('an endpoint is asked as OpenAI is, tried again when busy, and its refusal is told', async () => {
  const seen: { path?: string; key?: string; body: { model: string } }[] = [];
  const server: Server = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      seen.push({ path: request.url, key: request.headers.authorization, body: JSON.parse(text) });
      if (seen.length === 1) response.writeHead(429).end('busy');
      else if (seen.length === 3) response.writeHead(401).end('who are you?');
      else response.end(JSON.stringify({ choices: [{ message: { content: 'yes' }, finish_reason: 'stop' }] }));
    });
  });
  await new Promise<void>((ready) => server.listen(0, '127.0.0.1', ready));
  const baseUrl = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1/`;
  const completer = remoteCompleter({ baseUrl, model: 'm', apiKey: 'k' });
  const request = { messages: [{ role: 'user' as const, content: 'q' }], maxTokens: 4 };
  expect(await completer.complete(request)).toMatchObject({ text: 'yes', finishReason: 'stop' });
  expect(seen[1]).toMatchObject({ path: '/v1/chat/completions', key: 'Bearer k', body: { model: 'm', max_tokens: 4 } });
  await expect(completer.complete(request)).rejects.toThrow(/401: who are you/);
  server.close();
});
