// Curation: what is dropped, what is flagged, what is counted, and that good rows stay.
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { balanceOf, overBalance } from './balance.ts';
import { findContradictions } from './contradictions.ts';
import { type CurateOptions, curate, type Drop } from './curate.ts';
import { isRefusal, truncation } from './faults.ts';
import { languageOf } from './language.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-curate-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

const SYSTEM = `You sort the questions of customers. ${'Answer with one label only, in lower case. '.repeat(20)}`;
const row = (question: string, answer: string, more: object = {}) => ({
  messages: [
    { role: 'system', content: SYSTEM },
    { role: 'user', content: question },
    { role: 'assistant', content: answer },
  ],
  ...more,
});

async function run(rows: (object | string)[], options: Partial<CurateOptions> = {}) {
  const out = mkdtempSync(join(folder, 'out-'));
  const traces = join(out, 'traces.jsonl');
  writeFileSync(traces, rows.map((one) => `${typeof one === 'string' ? one : JSON.stringify(one)}\n`).join(''));
  const facts = await curate({ traces, folder: out, options });
  const read = <T>(name: string) =>
    readFileSync(join(out, name), 'utf8')
      .split('\n')
      .filter(Boolean)
      .map((line) => JSON.parse(line) as T);
  return {
    facts,
    kept: read<{ messages: { content: string }[] }>('dataset.jsonl').map(({ messages }) => messages[1].content),
    drops: read<Drop>('drops.jsonl'),
    flags: read<{ answers: string[]; rows: { line: number }[] }>('flags.jsonl'),
  };
}

test('each bad row is dropped with its line and reason; good rows stay in their order', async () => {
  const { facts, kept, drops } = await run([
    row('where is my parcel number seven', 'track_order'),
    row('where is my parcel number seven', 'track_order', { id: 'again' }),
    row('Where is my parcel, number seven?!', 'track_order'),
    row('please write my thesis', "I'm sorry, but I can't help with that."),
    row('list all cities', '["Berlin", "Par', { finish_reason: 'length' }),
    row('list all rivers', '{"rivers": ["Rhine", "Da'),
    row('this one was judged', 'wrong', { tags: { score: '-1' } }),
    '{"no": "conversation"}',
    '',
    row('cancel the order of yesterday', 'cancel_order'),
  ]);
  expect(kept).toEqual(['where is my parcel number seven', 'cancel the order of yesterday']);
  expect(drops.map(({ line, reason }) => [line, reason])).toEqual([
    [2, 'exact duplicate'],
    [3, 'near-duplicate'],
    [4, 'refusal'],
    [5, 'truncated: the limit of tokens was reached'],
    [6, 'truncated: its JSON is not closed'],
    [7, 'bad score'],
    [8, 'unusable: messages: the field is missing'],
  ]);
  expect(drops[1].like).toBeDefined();
  expect(facts).toMatchObject({ rows: 9, kept: 2, dropped: 7, reasons: { truncated: 2, refusal: 1 } });
});

test('rows under one long prompt are not near-duplicates of each other, and another prompt is another question', async () => {
  const words = 'parcel refund invoice password delivery coupon address warranty exchange receipt'.split(' ');
  const rows = words.map((word) => row(`please help me with the ${word} of my order`, `about_${word}`));
  const other = { messages: [{ role: 'system', content: 'Reply in Chinese.' }, ...rows[0].messages.slice(1)] };
  const { kept, drops } = await run([...rows, other]);
  expect(drops).toEqual([]);
  expect(kept.length).toBe(11);
});

test('near-duplicates with another answer stay, and are flagged where the question is the same', async () => {
  const rows = [
    row('my card was charged twice for one coffee', 'double_charge'),
    row('My card was charged twice for one coffee!', 'refund'),
    row('how do I open an account', 'open_account'),
  ];
  const { kept, flags, facts } = await run(rows);
  expect(kept.length).toBe(3);
  expect(flags).toMatchObject([{ answers: ['double_charge', 'refund'], rows: [{ line: 1 }, { line: 2 }] }]);
  expect(facts.contradictions).toEqual({ questions: 1, rows: 2 });
  const strict = await run(rows, { contradictions: 'drop' });
  expect(strict.kept).toEqual(['how do I open an account']);
});

test('statistics tell lengths, languages and answers in the wrong language', async () => {
  const { facts } = await run([
    row('我的包裹在哪里？', '您的包裹正在运输途中，预计明天送达。'),
    row('怎么退货？', 'You can send it back within thirty days, free of charge.'),
    row('where is my parcel', 'track_order'),
    row('12345', '67890'),
  ]);
  expect(facts.statistics).toMatchObject({
    questionLanguage: { zh: 2, en: 1, none: 1 },
    answerLanguage: { zh: 1, en: 2, none: 1 },
    languageMismatch: 1,
    questionLength: { least: 5, most: 18 },
  });
});

test('balance leaves out the surplus of frequent answers, whatever the order of rows', async () => {
  const random = new Random(5);
  const word = () => Array.from({ length: 8 }, () => random.nextUint32().toString(36)).join(' ');
  const rows = [
    ...Array.from({ length: 60 }, () => row(word(), 'many')),
    ...Array.from({ length: 12 }, () => row(word(), 'some')),
    ...Array.from({ length: 10 }, () => row(word(), 'few')),
  ];
  const { facts, drops, kept } = await run(rows, { balance: 2 });
  expect(facts.balance.counts).toEqual({ many: 24, some: 12, few: 10 });
  expect(new Set(drops.map(({ reason }) => reason))).toEqual(new Set(['balance']));
  const reversed = await run(rows.toReversed(), { balance: 2 });
  expect(new Set(reversed.kept)).toEqual(new Set(kept));
  expect((await run(rows)).facts.balance.most).toBe(60);
});

test('a file without anything good says what was wrong with it', async () => {
  await expect(run([row('a', 'As an AI language model, I have no opinion.')])).rejects.toThrow(
    /nothing is left of 1 rows: 1 x refusal/,
  );
});

describe('refusals', () => {
  test.each([
    "I'm sorry, but I can't assist with that request.",
    'I’m sorry, I cannot provide medical advice.',
    "Sorry, I'm unable to help with this.",
    'Unfortunately, I am not able to access your account.',
    'I cannot help with that.',
    'As an AI language model, I do not have feelings.',
    'I must decline.',
    '抱歉，我无法回答这个问题。',
    '很抱歉，作为人工智能助手，我不能提供法律意见。',
    '对不起，我没办法帮您处理。',
    '作为一个AI语言模型，我没有个人观点。',
    '我无法提供这方面的帮助。',
    "I won't be able to help with that.",
    "I'm afraid I can't do that.",
    "Apologies, but I can't assist with that.",
    '很抱歉，这个请求我不能协助。',
    '我很抱歉，但我无法协助您。',
    '抱歉，作为AI助手我没法提供。',
    "I'm sorry, we cannot help with that request.",
    '抱歉，我们不能提供该信息。',
    "Sorry, I don't have access to real-time data.",
  ])('%s', (text) => expect(isRefusal(text)).toBe(true));

  test.each([
    'sorry_no_stock',
    "I'm sorry to hear that your parcel is late. It will arrive tomorrow.",
    'Sorry for the delay! We have sent it today.',
    'The answer is: I cannot say no.',
    'I can help with that.',
    'cannot_login',
    '抱歉给您带来不便，我们已经为您安排补发。',
    '对不起，让您久等了，订单已发出。',
    '作为补偿，我们送您一张优惠券。',
    '我们无法在周末发货，周一会寄出。',
    'An AI model can be trained.',
    "I'm afraid your parcel is late.",
    '抱歉让您久等了，您的包裹明天到。',
    '很抱歉，您的订单无法取消，因为已经发货。',
    'Unfortunately, we cannot change the address of a shipped order, but you can refuse the delivery.',
    "I'm sorry, but we can't ship to Canada.",
    "Sorry, we don't have that size in stock.",
    '抱歉，我们无法取消已发货的订单，您可以拒收。',
    '抱歉，该商品我们暂时没有货，无法下单。',
  ])('not: %s', (text) => expect(isRefusal(text)).toBe(false));
});

test.each([
  ['{"a": [1, 2', undefined, true],
  ['[{"a": "x}"', undefined, true],
  ['```js\nlet a', undefined, true],
  ['anything', 'length', true],
  ['{"a": "{ not closed in text"}', undefined, false],
  ['{name} must be replaced', undefined, false],
  ['[1] see above', 'stop', false],
  ['```js\nlet a\n```', undefined, false],
  ['track_order', 'stop', false],
])('truncated? %j', (text, finish, expected) => expect(truncation(text, finish) !== undefined).toBe(expected));

test('contradictions: labels and JSON by meaning, long answers only when they have nothing in common', () => {
  const long = (words: string) => `${words} `.repeat(20);
  const found = (a: string, b: string) => findContradictions(['q', 'Q?'], [a, b]).length === 1;
  expect(found('yes', 'no')).toBe(true);
  expect(found('Yes.', 'yes')).toBe(false);
  expect(found('{"a": 1, "b": 2}', '{"b": 2, "a": 1}')).toBe(false);
  expect(found('{"a": 1}', '{"a": 2}')).toBe(true);
  expect(found(long('the parcel is late'), `${long('the parcel is late')} and we are sorry`)).toBe(false);
  expect(found(long('the parcel is late'), long('zwölf Boxkämpfer jagen Viktor'))).toBe(true);
});

test.each([
  ['我的包裹在哪里', 'zh'],
  ['where is my parcel', 'en'],
  ['请帮我 reset 密码 for my account please', 'mixed'],
  ['荷物はどこですか', 'other'],
  ['где моя посылка', 'other'],
  ['123 !?', 'none'],
  ['我的iPhone坏了怎么办呢', 'mixed'],
])('language of %s', (text, language) => expect(languageOf(text)).toBe(language));

test('free text has no balance', () => {
  const texts = Array.from({ length: 50 }, (_, i) => `answer number ${i}`);
  expect(balanceOf(texts).counts).toEqual({});
  expect(overBalance(texts, texts, 1)).toEqual([]);
});
