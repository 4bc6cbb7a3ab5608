// The headline on a few made-up items: what the student learns from, what it is tested on, and stopping where data are absent.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { lawJobs, requireData, serviceJob } from '../bench/headline/jobs.ts';
import type { Measured } from '../bench/headline/measure.ts';
import { blindScore } from '../bench/headline/measure.ts';
import { cautiousUsage, shortPrompt, splitItems } from '../bench/headline/rows.ts';
import { headlineTable, mergeResults } from '../bench/headline/table.ts';
import { toJsonl } from '../src/base/jsonl.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-headline-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

/** GPT-4 answers every third item wrongly, and every tenth with no option at all. */
const answer = (i: number) => (i % 10 === 9 ? '不知道' : `[类别]${i % 3 === 2 ? '侵权' : '公司法'}<eoa>`);
const law = Array.from({ length: 40 }, (_, i) => ({
  id: `item-${i}`,
  messages: [
    { role: 'user', content: `确定以下咨询的类别。\n咨询：\n第${i}个问题` },
    { role: 'assistant', content: answer(i) },
  ],
  reference: '公司法',
}));
const service = (labels: string[]) =>
  toJsonl(Array.from({ length: 12 }, (_, i) => ({ text: `text ${i}`, label: labels[i % 2] })));

for (const [file, text] of Object.entries({
  'lawbench/2-4.jsonl': toJsonl(law),
  'clinc150/train.jsonl': service(['alarm', 'balance']),
  'clinc150/test.jsonl': service(['alarm', 'balance']),
  'waimai/train.jsonl': service(['positive', 'negative']),
  'waimai/test.jsonl': service(['positive', 'negative']),
})) {
  mkdirSync(join(root, file, '..'), { recursive: true });
  writeFileSync(join(root, file), text);
}

const said = (row: { messages: { content?: unknown }[] }) => row.messages.map(({ content }) => content);

test("one way learns GPT-4's own answers, the other the right ones; both are tested on the same items", async () => {
  const [own, corrected] = await lawJobs(root, '2-4', 15);
  const number = (id: string) => Number(id.slice(5));
  expect(own.train.every(({ id }) => number(id) % 10 !== 9)).toBe(true);
  expect(own.train.map((row) => said(row)[1])).toEqual(
    own.train.map(({ id }) => (number(id) % 3 === 2 ? '侵权' : '公司法')),
  );
  expect(corrected.train).toHaveLength(20);
  expect(new Set(corrected.train.map((row) => said(row)[1]))).toEqual(new Set(['公司法']));
  expect(own.test).toBe(corrected.test);
  expect(own).toMatchObject({ testable: 20, way: 'gpt-4' });
  expect(own.test).toHaveLength(15);
  expect(own.test.every((row) => row.reference === '公司法' && String(said(row)[0]).startsWith('第'))).toBe(true);
  const trained = new Set(corrected.train.map(({ id }) => id));
  expect(own.test.some(({ id }) => trained.has(id))).toBe(false);
});

test('service is one job of two languages, sampled alike', async () => {
  const job = await serviceJob(root, 5);
  expect(job.train).toHaveLength(24);
  expect(job.test.map((row) => row.tags!.language).sort()).toEqual([...Array(5).fill('en'), ...Array(5).fill('zh')]);
  // the teacher is billed for the prompt that names the labels, the student reads the message alone
  const [row] = job.test;
  expect(row.usage!.prompt_tokens).toBeGreaterThan(cautiousUsage(String(said(row)[0]), '').prompt_tokens);
});

test('prompts lose the instruction that is the same for all', () => {
  expect(shortPrompt('说明。\n咨询：\n我骑车')).toBe('我骑车');
  expect(shortPrompt('说明。\n句子：原告。A:一。')).toBe('原告。A:一。');
  expect(shortPrompt('只有一行')).toBe('只有一行');
});

test('a split is the same every time and loses nothing', () => {
  const items = Array.from({ length: 30 }, (_, i) => i);
  const { train, test: held } = splitItems(items, 0.5);
  expect(splitItems(items, 0.5)).toEqual({ train, test: held });
  expect([...train, ...held].sort((a, b) => a - b)).toEqual(items);
  expect(train).not.toEqual(items.slice(0, 15));
});

const measured = (job: string, ratio: number): Measured => ({
  job,
  way: 'corrected',
  student: 'tiny',
  budget: '1m',
  rows: { train: 9, test: 5, testable: 20 },
  quality: { teacher: 0.5, student: 0.5 * ratio, ratio, lower95: ratio - 0.1 },
  slices: [],
  requestsPerSecond: 10,
  training: { seconds: 60, usd: 0.001, epochs: 2, tokens: 100, reason: 'budget' },
  made: { seconds: 70, usd: 0.002 },
  cost: ['gpt-4', 'gpt-4o'].map((teacher) => ({
    teacher,
    asOf: '2024-01-01',
    share: 0.01,
    verdict: ratio > 1.05 ? 'proven' : 'not proven',
    reasons: ['why'],
  })),
  notes: [],
});

test('the table says how much was sampled, and a rerun of one job takes its place', () => {
  const merged = mergeResults([measured('a', 0.8), measured('b', 1)], [measured('a', 1.1)]);
  expect(merged.map(({ job, quality }) => [job, quality.ratio])).toEqual([
    ['a', 1.1],
    ['b', 1],
  ]);
  const table = headlineTable(merged);
  expect(table).toMatch(/tiny +a +corrected +5 +50\.0% +55\.0% +1\.100 +1\.000 .* proven/);
  expect(table).toMatch(/5 of 20 held-out items/);
  expect(table).toMatch(/not proven/);
});

test('without the data it says so and ends with code 2', async () => {
  expect(() => requireData(join(root, 'nowhere'))).toThrow(/data are not here/);
  const script = resolve(import.meta.dirname, '../bench/headline.ts');
  const args = ['--import', 'tsx', script, '--data', join(root, 'nowhere')];
  const { code, stderr } = await new Promise<{ code: number; stderr: string }>((done) =>
    execFile(process.execPath, args, (error, _, text) => done({ code: Number(error?.code ?? 0), stderr: text })),
  );
  expect(code).toBe(2);
  expect(stderr).toMatch(/lawbench.*2-4\.jsonl.*data are not here[\s\S]*--data/);
});

test('what needs no model at all: always the most frequent training answer', () => {
  const row = (content: string, reference?: string) => ({
    id: content,
    messages: [{ role: 'assistant' as const, content }],
    ...(reference === undefined ? {} : { reference }),
  });
  const train = ['A', 'B', 'B'].map((content) => row(content));
  expect(blindScore({ train, test: [row('A', 'B'), row('B'), row('B', 'A'), row('C')] })).toBe(0.5);
});
