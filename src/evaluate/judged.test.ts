// Evaluation by a judge behind an HTTP endpoint: who counts as right, what an unsteady judge is worth, and what is asked again.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:http';
import type { AddressInfo } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { toJsonl } from '../base/jsonl.ts';
import type { Completer } from '../chat/completer.ts';
import { evaluate, type ScoredItem } from './evaluate.ts';
import type { Preference } from './judge.ts';
import { type JudgeSetup, readHumanLabels } from './judged.ts';
import { remoteCompleter } from './remote.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-judged-'));
let server: Server;
let url: string;
let asked = 0;
const keys: (string | undefined)[] = [];

/** Prefers the answer with more e's, unless the request says "first": then always the first. */
beforeAll(async () => {
  server = createServer((request, response) => {
    keys.push(request.headers.authorization);
    let body = '';
    request.on('data', (chunk) => {
      body += chunk;
    });
    request.on('end', () => {
      asked++;
      const prompt = JSON.parse(body).messages[0].content as string;
      const part = (mark: string) => new RegExp(`<<<${mark}\\n(.*)\\n${mark}>>>`, 's').exec(prompt)![1];
      const [a, b] = ['ANSWER A', 'ANSWER B'].map((mark) => part(mark).split('e').length);
      const verdict = part('REQUEST').includes('first') ? 'A' : a === b ? 'TIE' : a > b ? 'A' : 'B';
      response.setHeader('content-type', 'application/json');
      const usage = { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 60 } };
      response.end(JSON.stringify({ choices: [{ message: { content: `by count\nVERDICT: ${verdict}` } }], usage }));
    });
  });
  await new Promise<void>((done) => server.listen(0, '127.0.0.1', done));
  url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/v1`;
});
afterAll(() => {
  server.close();
  rmSync(root, { recursive: true, force: true });
});

const CASES: [asked: string, student: string, teacher: string][] = [
  ['better', 'eee one', 'none here'],
  ['worse', 'no', 'yes'],
  ['tie', 'red a', 'red b'],
  ['same', 'same.', 'Same'],
  ['first', 'ee', 'e'],
];

function dataset(): string {
  const folder = mkdtempSync(join(root, 'data-'));
  const rows = CASES.map(([content, , teacher], i) => ({
    id: content,
    line: i + 1,
    messages: [
      { role: 'user', content },
      { role: 'assistant', content: teacher },
    ],
  }));
  writeFileSync(join(folder, 'test.jsonl'), toJsonl(rows));
  return folder;
}

const student: Completer = {
  name: 'student',
  concurrency: 2,
  complete: async ({ messages }) => ({
    text: CASES.find(([content]) => content === messages.at(-1)!.content)![1],
    finishReason: 'stop',
    promptTokens: 1,
    completionTokens: 1,
    seconds: 0.001,
  }),
  close: async () => {},
};

const judge = (more: Partial<JudgeSetup> = {}): JudgeSetup => ({
  completer: remoteCompleter({ baseUrl: url, model: 'judge-1', apiKey: 'sk-test' }),
  cacheFile: join(root, 'judgements.jsonl'),
  ...more,
});

async function judged(setup?: JudgeSetup) {
  const folder = mkdtempSync(join(root, 'out-'));
  mkdirSync(folder, { recursive: true });
  const options = { scorer: 'judge', resamples: 200 };
  const countTokens = (text: string) => text.length;
  const facts = await evaluate({ dataset: dataset(), completer: student, countTokens, folder, options, judge: setup });
  const lines = readFileSync(join(folder, 'scores.jsonl'), 'utf8').trim().split('\n');
  return { facts, items: lines.map((line) => JSON.parse(line) as ScoredItem) };
}

const TOKENS = { requests: 8, promptTokens: 800, cachedTokens: 480, completionTokens: 56 };

test('wins, losses and ties are scored, an unsteady judge counts against the student, equal answers are not asked about', async () => {
  const { facts, items } = await judged(judge());
  expect(items.map(({ id, studentScore, teacherScore }) => [id, studentScore, teacherScore])).toEqual([
    ['better', 1, 0],
    ['worse', 0, 1],
    ['tie', 1, 1],
    ['same', 1, 1],
    ['first', 0, 1],
  ]);
  expect(facts).toMatchObject({
    scorer: 'judge',
    judge: { name: 'judge-1', same: 1, judged: 4, unsure: 1, agreement: null, tokens: TOKENS },
    quality: { student: 0.6, teacher: 0.8, n: 5 },
  });
  expect(items[0].judgement!.rationales[0]).toMatch(/by count/);
  expect(facts.notes.join()).toMatch(/nobody's own preferences[\s\S]*1 of 4 judgements changed/);
  expect(asked).toBe(8);
  expect(new Set(keys)).toEqual(new Set(['Bearer sk-test']));
});

test('another evaluation asks nothing again; agreement with people is reported as kappa', async () => {
  const before = asked;
  const file = join(root, 'labels.jsonl');
  const prefers: [string, Preference][] = [
    ['better', 'student'],
    ['worse', 'teacher'],
    ['tie', 'student'],
  ];
  writeFileSync(file, toJsonl(prefers.map(([id, preference]) => ({ id, prefers: preference }))));
  const { facts } = await judged(judge({ labels: await readHumanLabels(file) }));
  expect(asked).toBe(before);
  // what its judgements cost is known from when they were made
  expect(facts.judge!.tokens).toEqual(TOKENS);
  // agreement 2/3, by chance (2*1 + 1*1 + 0*1)/9: kappa (6 - 3)/(9 - 3)
  expect(facts.judge!.agreement!.n).toBe(3);
  expect(facts.judge!.agreement!.kappa).toBeCloseTo(0.5, 12);
  expect(facts.notes.join()).toMatch(/kappa 0\.50/);
});

test('an endpoint that nobody listens at is an error with the remedy, and an abort stays an abort', async () => {
  const gone = remoteCompleter({ baseUrl: 'http://127.0.0.1:9/v1', model: 'judge-1' });
  const request = { messages: [{ role: 'user' as const, content: 'x' }], maxTokens: 1 };
  await expect(gone.complete(request)).rejects.toMatchObject({
    message: expect.stringContaining('does not answer'),
    remedy: expect.stringContaining('address'),
  });
  await expect(gone.complete({ ...request, signal: AbortSignal.abort() })).rejects.toMatchObject({
    name: 'AbortError',
  });
});

test('without a judge, or with labels that are none, it says what is missing', async () => {
  await expect(judged()).rejects.toThrow(/needs somebody to ask/);
  const file = join(root, 'bad.jsonl');
  writeFileSync(file, toJsonl([{ id: 'a', prefers: 'me' }]));
  await expect(readHumanLabels(file)).rejects.toThrow(/not a label/);
});

test('a model that wants other parameters gets them', async () => {
  const sent: Record<string, unknown>[] = [];
  const strict = createServer((request, response) => {
    let text = '';
    request.on('data', (chunk) => {
      text += chunk;
    });
    request.on('end', () => {
      const body = JSON.parse(text) as Record<string, unknown>;
      sent.push(body);
      const problem =
        'max_tokens' in body
          ? "Unsupported parameter: 'max_tokens'. Use 'max_completion_tokens' instead."
          : 'temperature' in body
            ? "Unsupported value: 'temperature' does not support 0 with this model."
            : undefined;
      response.statusCode = problem ? 400 : 200;
      response.end(
        JSON.stringify(problem ? { error: { message: problem } } : { choices: [{ message: { content: 'ok' } }] }),
      );
    });
  });
  await new Promise<void>((done) => strict.listen(0, '127.0.0.1', done));
  try {
    const baseUrl = `http://127.0.0.1:${(strict.address() as AddressInfo).port}`;
    const completer = remoteCompleter({ baseUrl, model: 'thinker' });
    const ask = () => completer.complete({ messages: [{ role: 'user', content: 'x' }], maxTokens: 10 });
    expect((await Promise.all([ask(), ask()])).map(({ text }) => text)).toEqual(['ok', 'ok']);
    const before = sent.length;
    await ask();
    expect(sent.length).toBe(before + 1);
    expect(sent.at(-1)).toMatchObject({ max_completion_tokens: 80 });
  } finally {
    strict.close();
  }
});

test('labels of other items are no check of the judge', async () => {
  const labels = new Map([['nobody', 'tie' as const]]);
  await expect(judged(judge({ labels }))).rejects.toThrow(/none of the 1 labels is of a test item/);
});
