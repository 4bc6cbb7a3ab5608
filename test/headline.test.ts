// The headline on a few made-up items: what the student learns from, what it is tested on, and stopping where data are absent.
import { execFile } from 'node:child_process';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, expect, test } from 'vitest';
import { baselines } from '../bench/headline/baselines.ts';
import { casesOf } from '../bench/headline/cases.ts';
import { likeliest, optionRows, readChoice } from '../bench/headline/choice.ts';
import { choiceItems, type FoldRun, type Item } from '../bench/headline/fold.ts';
import { lawJobs, requireData, serviceJob } from '../bench/headline/jobs.ts';
import type { Measured } from '../bench/headline/measure.ts';
import { crossCascade, pooledFacts } from '../bench/headline/pooled.ts';
import { cautiousUsage, foldsOf, type Row, shortPrompt, splitItems } from '../bench/headline/rows.ts';
import { together } from '../bench/headline/slices.ts';
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
  const jobs = await lawJobs(root, '2-4', { folds: 1, testItems: 15 });
  const [[own], [corrected]] = jobs.map(({ folds }) => folds);
  const number = (id: string) => Number(id.slice(5));
  expect(own.train.every(({ id }) => number(id) % 10 !== 9)).toBe(true);
  expect(own.train.map((row) => said(row)[1])).toEqual(
    own.train.map(({ id }) => (number(id) % 3 === 2 ? '侵权' : '公司法')),
  );
  expect(corrected.train).toHaveLength(20);
  expect(new Set(corrected.train.map((row) => said(row)[1]))).toEqual(new Set(['公司法']));
  expect(own.test).toBe(corrected.test);
  expect(jobs[0]).toMatchObject({ testable: 20, way: 'gpt-4' });
  expect(own.test).toHaveLength(15);
  expect(own.test.every((row) => row.reference === '公司法' && String(said(row)[0]).startsWith('第'))).toBe(true);
  const trained = new Set(corrected.train.map(({ id }) => id));
  expect(own.test.some(({ id }) => trained.has(id))).toBe(false);
});

test('service is one job of two languages, sampled alike', async () => {
  const [job] = (await serviceJob(root, 5)).folds;
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

const row = (id: string, asked: string, answer: string, reference?: string): Row => ({
  id,
  messages: [
    { role: 'user', content: asked },
    { role: 'assistant', content: answer },
  ],
  ...(reference === undefined ? {} : { reference }),
  tags: { task: 't' },
});

test('cross-fitting tests every item once, by a student that has learned neither it nor its case', () => {
  const items = Array.from({ length: 23 }, (_, i) => i);
  const cases = items.map((i) => (i % 10 === 3 ? 3 : i));
  const folds = foldsOf(items, 5, cases);
  expect(folds.flatMap(({ test: held }) => held).sort((a, b) => a - b)).toEqual(items);
  for (const { train, test: held } of folds) {
    expect([...train, ...held].sort((a, b) => a - b)).toEqual(items);
    expect([0, 2]).toContain(held.filter((i) => i % 10 === 3).length);
    expect(held.length).toBeGreaterThan(3);
  }
  expect(foldsOf(items, 1, cases)).toEqual([foldsOf(items, 2, cases)[0]]);
  const same = '被告人在庭审中对起诉书指控的犯罪事实没有异议，请求法院对其从轻处罚，并表示愿意赔偿全部损失';
  expect(casesOf([['甲说原告无理'], [`${same}。`, '另一件事'], ['乙要求赔偿'], [same]])).toEqual([0, 1, 2, 1]);
});

test('multiple choice becomes a row for each option, cut alike, and the likeliest option is the answer', () => {
  expect(readChoice('某A公司。A:甲 B:乙', ['A', 'B'])).toEqual({
    question: '某A公司。',
    options: new Map([
      ['A', '甲'],
      ['B', '乙'],
    ]),
  });
  expect(readChoice('没有选项', ['A', 'B'])).toBeUndefined();
  const item = row('7', '问题。A:第一 B:第二', 'A', 'B');
  const rows = optionRows(item, ['A', 'B'], 2);
  expect(rows.map(({ messages }) => messages.map(({ content }) => content))).toEqual([
    ['问题\n第一', '是'],
    ['问题\n第二', '否'],
  ]);
  expect(rows.map(({ reference }) => reference)).toEqual(['否', '是']);
  expect(optionRows(row('8', '没有选项', 'A'), ['A', 'B'], 9)).toEqual([]);
  const { letter, probability } = likeliest(new Map([['A', 0.2], ['B', 0.5], ['C', 0]])); // biome-ignore format: one list
  expect(letter).toBe('B');
  expect(probability).toBeCloseTo(0.8, 6);

  const scores = rows.map(({ id, tags }, i) => ({ id, tags, student: i === 0 ? '否' : '否' }));
  const signals = new Map(
    [0.9, 0.6].map((sure, i) => [rows[i].id, { mean: 0, least: 0, total: Math.log(sure), complete: true }]),
  );
  const [found, unread] = choiceItems({ test: [item, row('8', '没有选项', 'A', 'A')] }, scores as never, signals);
  expect(found).toMatchObject({ text: 'B', student: 1, teacher: 0 });
  expect(unread).toMatchObject({ student: 0, teacher: 1, signals: { complete: false } });
});

test('without a language model: the most frequent answer, the nearest texts, a linear classifier', () => {
  const text = (label: string, i: number) =>
    `${label === 'bank' ? 'my money and account' : 'rain and wind today'} ${i}`;
  const rows = Array.from({ length: 30 }, (_, i) => {
    const label = i % 3 === 0 ? 'bank' : 'weather';
    return row(String(i), text(label, i), label);
  });
  expect(baselines({ train: rows.slice(0, 21), test: rows.slice(21) })).toEqual({
    frequent: 6 / 9,
    nearest: 1,
    linear: 1,
  });
  const choices = Array.from({ length: 40 }, (_, i) => {
    const right = 'AB'[i % 2];
    const options = right === 'A' ? 'A:原告无理，请求驳回 B:证据一份' : 'A:证据一份 B:原告无理，请求驳回';
    return row(String(i), `原告请求赔偿。${options}`, right);
  });
  const found = baselines({ train: choices.slice(0, 30), test: choices.slice(30) }, ['A', 'B']);
  expect(found).toEqual({ frequent: 0.5, nearest: 1, linear: 1 });
});

test('a cascade of several students: thresholds come from the folds that a student was not tested on', () => {
  const fold = (n: number): Item[] =>
    Array.from({ length: n }, (_, i) => {
      const sure = i % 4 !== 0;
      const total = sure ? -0.01 - (i % 7) * 1e-3 : -1;
      return { text: 'x', task: 't', student: Number(sure), teacher: 1, signals: { mean: total, least: total, total, complete: true } }; // biome-ignore format: one item
    });
  const { local, ratio, lower95, n } = crossCascade([fold(100), fold(100), fold(100)]);
  expect(n).toBe(300);
  expect(local).toBeGreaterThan(0.6);
  expect(ratio).toBeGreaterThan(0.98);
  expect(lower95).toBeGreaterThan(0.95);
  expect(crossCascade([fold(20), fold(20)])).toMatchObject({ local: 0, reason: expect.stringMatching(/20 items/) });
});

test('folds are pooled: quality over all items and cases, speed in items, leaks added up', () => {
  const fold = (right: number, cluster: string): FoldRun => {
    const items = Array.from({ length: 10 }, (_, i) => ({ student: Number(i < right), teacher: 1, cluster }));
    const leak = { test: 'a', seen: 'b', kind: 'n-grams' };
    const facts = { speed: { busySeconds: 4, requestsPerSecond: 12.5, concurrency: 16 }, contamination: { nearDuplicates: 1, passages: 0, items: [leak] }, notes: ['same'] }; // biome-ignore format: one fact
    return { items, evaluation: { manifest: { facts } } } as unknown as FoldRun;
  };
  const facts = pooledFacts([fold(9, 'x'), fold(7, 'y')], []);
  expect(facts).toMatchObject({
    quality: { n: 20, student: 0.8, teacher: 1 },
    speed: { busySeconds: 8, requestsPerSecond: 2.5, concurrency: 16 },
    contamination: { nearDuplicates: 2, passages: 0 },
    notes: ['same'],
  });
  // two cases are two units, not twenty
  expect(facts.quality.lower95).toBeLessThan(0.5);
});

test("a task's cascade is proven only where quality and cost both are", () => {
  const items = (count: number, wrong: number, handed: number): Item[] =>
    Array.from({ length: count }, (_, i) => {
      const total = i < handed ? -3 : -0.001 * (i % 7);
      return { text: 'x', task: 't', student: Number(i >= wrong), teacher: 1, signals: { mean: total, least: total, total, complete: true } }; // biome-ignore format: one item
    });
  // the student is unsure of 3 in 100, and wrong on nearly all of them
  const good = together(items(600, 15, 18), items(1000, 25, 30), [{ share: 0.001 }, { share: 0.1 }]);
  expect(good.lower95).toBeGreaterThanOrEqual(0.95);
  expect(good.share[0]).toBeCloseTo(0.001 + 1 - good.local);
  expect(good.verdict).toEqual(['proven', 'not proven']);
  // on the test it is wrong where it was sure
  const bad = together(items(600, 15, 18), items(1000, 120, 0), [{ share: 0.001 }]);
  expect(bad.verdict).toEqual(['not proven']);
  expect(together(items(20, 0, 0), items(1000, 0, 0), [{ share: 0 }])).toMatchObject({
    local: 0,
    verdict: ['not proven'],
  });
});
