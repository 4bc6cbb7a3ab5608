// The evaluate stage with a stand-in for the student: scores, tokens, speed, and going on after a kill.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { CupelError } from '../base/errors.ts';
import { toJsonl } from '../base/jsonl.ts';
import type { Completer, CompletionRequest } from '../chat/completer.ts';
import { type Example, messageText } from '../chat/messages.ts';
import { busySeconds } from './answers.ts';
import { evaluate } from './evaluate.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-evaluate-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

const countTokens = (text: string) => text.split(/\s+/).filter(Boolean).length;

function example(i: number, asked: string, answer: string, more: Partial<Example> = {}): Example {
  const messages: Example['messages'] = [
    { role: 'user', content: asked },
    { role: 'assistant', content: answer },
  ];
  return { id: `row-${i}`, line: i + 1, messages, ...more };
}

function dataset(test: Example[], train: Example[] = []): string {
  const folder = mkdtempSync(join(root, 'data-'));
  writeFileSync(join(folder, 'test.jsonl'), toJsonl(test));
  writeFileSync(join(folder, 'train.jsonl'), toJsonl(train));
  return folder;
}

/** Answers with `answer(question)`; remembers what it was asked and how many requests were in flight at most. */
function standIn(answer: (question: string) => string, concurrency = 4) {
  const asked: CompletionRequest[] = [];
  const seen = { asked, flying: 0, most: 0 };
  const completer: Completer = {
    name: 'stand-in',
    concurrency,
    async complete(request) {
      asked.push(request);
      seen.most = Math.max(seen.most, ++seen.flying);
      await new Promise((resolve) => setTimeout(resolve, 1));
      seen.flying--;
      const text = answer(messageText(request.messages.at(-1)!));
      return { text, finishReason: 'stop', promptTokens: 10, completionTokens: 2, seconds: 0.001 };
    },
    close: async () => {},
  };
  return { completer, seen };
}

function run(
  data: string,
  completer: Completer,
  more: { folder?: string; options?: object; signal?: AbortSignal } = {},
) {
  const folder = more.folder ?? mkdtempSync(join(root, 'out-'));
  mkdirSync(folder, { recursive: true });
  return evaluate({ dataset: data, completer, countTokens, folder, options: { resamples: 2000 }, ...more });
}

const echo = Array.from({ length: 100 }, (_, i) => example(i, `say ${i % 4}`, `label ${i % 4}`));
const right = (question: string) => question.replace('say', 'label');

describe('scores', () => {
  test("against the teacher's answers a faithful student has ratio 1, and the bound leaves room", async () => {
    const { completer, seen } = standIn(right);
    const facts = await run(dataset(echo), completer);
    expect(facts.quality).toMatchObject({ student: 1, teacher: 1, ratio: 1, n: 100 });
    // Clopper-Pearson: 0.05^(1/100)
    expect(facts.quality.lower95).toBeCloseTo(0.05 ** (1 / 100), 2);
    expect(facts.quality.bootstrap95).toBe(1);
    expect(facts).toMatchObject({ basis: 'teacher', scorer: 'label', student: { name: 'stand-in', requests: 100 } });
    expect(facts.notes.join()).toMatch(/teacher's quality is 1 by definition/);
    expect(seen.most).toBe(4);
    expect(seen.asked.every((request) => request.temperature === 0)).toBe(true);
  });

  test('with references both are scored against them, and rows without one are left out', async () => {
    const rows = echo.map((row, i) => (i < 90 ? { ...row, reference: i < 60 ? `label ${i % 4}` : 'label 9' } : row));
    const facts = await run(dataset(rows), standIn(right).completer);
    expect(facts.basis).toBe('reference');
    expect(facts.quality).toMatchObject({ n: 90, ratio: 1 });
    expect(facts.quality.teacher).toBeCloseTo(60 / 90, 12);
    expect(facts.notes.join()).toMatch(/10 test rows without a reference were not scored/);
  });

  test('fields, confusions and slices tell where the student is weak', async () => {
    const rows = echo.map((row, i) => ({ ...row, tags: { half: i < 50 ? 'first' : 'second' } }));
    const student = (question: string) => (question === 'say 3' ? 'label 2' : right(question));
    const facts = await run(dataset(rows), standIn(student).completer);
    expect(facts.confusions).toContainEqual({ expected: 'label 3', predicted: 'label 2', count: 25 });
    expect(facts.slices.map(({ value, n }) => [value, n])).toEqual([
      ['first', 50],
      ['second', 50],
    ]);
    const json = Array.from({ length: 20 }, (_, i) => example(i, `${i}`, JSON.stringify({ a: 1, b: i })));
    const fields = await run(dataset(json), standIn(() => '{"a":1,"b":3}').completer);
    expect(fields.scorer).toBe('json');
    expect(fields.fields).toEqual({ a: 1, b: 1 / 20 });
  });

  test('the answer limit is twice the longest training answer and 16 more', async () => {
    const { completer, seen } = standIn(right);
    await run(dataset(echo, [example(0, 'q', 'one two three '.repeat(10))]), completer);
    expect(seen.asked[0].maxTokens).toBe(76);
  });

  test('a tool call as answer is compared as JSON', async () => {
    const call = { function: { name: 'find', arguments: '{"id": 7}' }, type: 'function' as const };
    const rows = Array.from({ length: 12 }, (_, i) =>
      example(i, `${i}`, '', {
        messages: [
          { role: 'user', content: `${i}` },
          { role: 'assistant', tool_calls: [call] },
        ],
      }),
    );
    const text = '<tool_call>{"name": "find", "arguments": {"id": 7}}</tool_call>';
    const facts = await run(dataset(rows), standIn(() => text).completer);
    expect(facts).toMatchObject({ scorer: 'json', quality: { student: 1 } });
  });
});

describe('tokens of the teacher', () => {
  test('usage is summed by model; rows without it are estimated apart', async () => {
    const usage = { prompt_tokens: 100, completion_tokens: 7, prompt_tokens_details: { cached_tokens: 40 } };
    const rows = [
      example(0, 'a b c', 'x', { model: 'gpt-4o', usage }),
      example(1, 'a b c', 'x y', { model: 'gpt-4o', usage }),
      example(2, 'a b c d e f g h i j', 'x y z', { model: 'gpt-4o' }),
    ];
    const { teacher, notes } = await run(dataset(rows), standIn(() => 'x').completer);
    expect(teacher).toEqual([
      {
        model: 'gpt-4o',
        requests: 2,
        promptTokens: 200,
        cachedTokens: 80,
        completionTokens: 14,
        reasoningTokens: 0,
        estimated: false,
      },
      // 19 characters are cautiously 5 tokens, though the student has 10; 3 for the turn; "x y z" is 2
      {
        model: 'gpt-4o',
        requests: 1,
        promptTokens: 8,
        cachedTokens: 0,
        completionTokens: 2,
        reasoningTokens: 0,
        estimated: true,
      },
    ]);
    expect(notes.join()).toMatch(/no usage/);
  });
});

describe('going on after a kill', () => {
  test('answers on disk are not asked again, half a line is dropped, and the facts are the same', async () => {
    const data = dataset(echo);
    const whole = await run(data, standIn(right).completer, { folder: join(root, 'whole') });
    const lines = readFileSync(join(root, 'whole', 'answers.jsonl'), 'utf8').split('\n');
    const folder = join(root, 'killed');
    mkdirSync(folder);
    writeFileSync(join(folder, 'answers.jsonl'), `${lines.slice(0, 40).join('\n')}\n${lines[40].slice(0, 25)}`);
    const { completer, seen } = standIn(right);
    const facts = await run(data, completer, { folder });
    expect(seen.asked).toHaveLength(60);
    expect(facts.quality).toEqual(whole.quality);
    const again = standIn(right);
    await run(data, again.completer, { folder });
    expect(again.seen.asked).toHaveLength(0);
  });

  test('a failure that is not about a conversation stops the run, and what was answered stays', async () => {
    const folder = join(root, 'broken');
    let calls = 0;
    const { completer } = standIn((question) => {
      if (++calls > 30) throw new Error('the engine is gone');
      return right(question);
    });
    await expect(run(dataset(echo), completer, { folder })).rejects.toThrow('the engine is gone');
    expect(readFileSync(join(folder, 'answers.jsonl'), 'utf8').trim().split('\n').length).toBe(30);
  });

  test('an abort stops the run with its reason', async () => {
    const controller = new AbortController();
    const { completer, seen } = standIn((question) => {
      if (seen.asked.length === 10) controller.abort(new Error('interrupted'));
      return right(question);
    });
    await expect(run(dataset(echo), completer, { signal: controller.signal })).rejects.toThrow('interrupted');
    expect(seen.asked.length).toBeLessThan(20);
  });
});

test('reasoning is counted once, within the answer or beside it, and cached tokens by either name', async () => {
  const rows = [
    {
      prompt_tokens: 100,
      completion_tokens: 30,
      total_tokens: 130,
      completion_tokens_details: { reasoning_tokens: 20 },
    },
    {
      prompt_tokens: 100,
      completion_tokens: 10,
      total_tokens: 130,
      completion_tokens_details: { reasoning_tokens: 20 },
    },
    { prompt_tokens: 100, completion_tokens: 30, prompt_cache_hit_tokens: 60, prompt_cache_miss_tokens: 40 },
  ].map((usage, i) => example(i, 'a', 'x', { model: 'm', usage }));
  const { teacher } = await run(dataset(rows), standIn(() => 'x').completer);
  expect(teacher).toEqual([
    expect.objectContaining({ promptTokens: 300, completionTokens: 90, reasoningTokens: 40, cachedTokens: 60 }),
  ]);
});

describe('what would spoil the verdict', () => {
  test('test items that training rows give away are found', async () => {
    const words = (n: number) => Array.from({ length: 30 }, (_, i) => `w${n * 30 + i}`).join(' ');
    const rows = Array.from({ length: 20 }, (_, i) => example(i, words(i), 'yes'));
    const train = [
      example(100, `${words(3)} please`, 'yes'),
      example(101, `${words(70)} ${words(5)} ${words(71)}`, 'yes'),
      example(102, words(80), 'yes'),
      // two characters of fifty, or one word of thirteen, make no new question
      example(
        103,
        '我骑电动自行车撞了一位老人，老人腿骨折了，家属要求我赔偿八万元，我没有保险，请问我应当怎么办才好',
        'yes',
      ),
      example(104, 'could you please tell me where the parcel that I ordered on monday is', 'yes'),
    ];
    rows.push(
      example(
        20,
        '我骑电动自行车撞了一位大爷，老人腿骨折了，家属要求我赔偿八万元，我没有保险，请问我应当怎么办才好',
        'yes',
      ),
      example(21, 'could you please tell me where the parcel that I ordered on friday is', 'yes'),
      example(22, '我想问一下租房合同到期以后房东不退押金，我应该去哪里起诉他', 'yes'),
    );
    const { contamination } = await run(dataset(rows, train), standIn(right).completer);
    expect(contamination).toMatchObject({ nearDuplicates: 3, passages: 1 });
    expect(contamination.items).toEqual([
      { test: 'row-3', seen: 'row-100', kind: 'near-duplicate' },
      { test: 'row-5', seen: 'row-101', kind: 'n-grams' },
      { test: 'row-20', seen: 'row-103', kind: 'near-duplicate' },
      { test: 'row-21', seen: 'row-104', kind: 'near-duplicate' },
    ]);
  });

  test('a label set holds the student to the answers of the training rows, and is refused where they are no closed set', async () => {
    const { completer, seen } = standIn(right);
    await run(dataset(echo.slice(0, 20), echo.slice(20)), completer, { options: { labelSet: true, resamples: 200 } });
    expect(seen.asked[0].labels).toEqual(['label 0', 'label 1', 'label 2', 'label 3']);
    const free = Array.from({ length: 30 }, (_, i) => example(i, `ask ${i}`, `answer ${i}`));
    const open = run(dataset(echo, free), completer, { options: { labelSet: true } });
    await expect(open).rejects.toThrow(/30 different answers: no closed set/);
    await run(dataset(echo.slice(0, 20), echo.slice(20)), completer);
    expect(seen.asked.at(-1)!.labels).toBeUndefined();
  });

  test('looks at a test split are counted once for each evaluation, over half a line too', async () => {
    const looksFile = join(root, 'looks.jsonl');
    const data = dataset(echo);
    const look = async (name: string, rows = data) => {
      const folder = join(root, name);
      mkdirSync(folder, { recursive: true });
      const { completer } = standIn(right);
      const facts = await evaluate({
        dataset: rows,
        completer,
        countTokens,
        folder,
        looksFile,
        options: { resamples: 500 },
      });
      return facts.looks;
    };
    expect(await look('look-1')).toBe(1);
    expect(await look('look-1')).toBe(1);
    writeFileSync(looksFile, `${readFileSync(looksFile, 'utf8')}{"test": "hal`);
    expect(await look('look-2')).toBe(2);
    expect(await look('look-3')).toBe(3);
    expect(await look('other', dataset(echo.slice(0, 50)))).toBe(1);
  });

  test('items of one source are resampled together', async () => {
    const rows = echo.map((row, i) => ({ ...row, tags: { source: `${Math.floor(i / 10)}` } }));
    const student = (question: string) => (question === 'say 0' ? 'label 1' : right(question));
    const apart = await run(dataset(rows), standIn(student).completer);
    const together = await run(dataset(rows), standIn(student).completer, { options: { clusterTag: 'source' } });
    expect(together.quality.student).toBe(apart.quality.student);
    expect(together.quality.lower95).toBeLessThan(apart.quality.lower95);
    const { completer, seen } = standIn(student);
    const wrong = run(dataset(rows), completer, { options: { clusterTag: 'sauce' } });
    await expect(wrong).rejects.toMatchObject({ exitCode: 2, remedy: 'the rows have: source' });
    expect(seen.asked).toEqual([]);
  });
});

describe('what cannot be answered', () => {
  const tooLong = (question: string) => {
    if (question === 'say 1') throw new CupelError('does not fit the context');
    return right(question);
  };
  test('counts as wrong', async () => {
    const facts = await run(dataset(echo), standIn(tooLong).completer);
    expect(facts).toMatchObject({ quality: { student: 0.75 }, student: { failed: 25 } });
    expect(facts.notes.join()).toMatch(/25 conversations could not be answered/);
  });

  test('all of them is an error', async () => {
    const rows = echo.filter((_, i) => i % 4 === 1);
    await expect(run(dataset(rows), standIn(tooLong).completer)).rejects.toThrow(/no item at all.*does not fit/);
  });

  test('no item at all is a verdict of nothing, not a crash; no test file is an error', async () => {
    const facts = await run(dataset([]), standIn(right).completer);
    expect(facts.quality).toMatchObject({ n: 0, lower95: 0, needed: 59 });
    await expect(run(mkdtempSync(join(root, 'empty-')), standIn(right).completer)).rejects.toMatchObject({
      exitCode: 2,
    });
  });
});

test('busy time counts overlapping requests once and leaves gaps out', () => {
  const spans = [
    { startedAt: 1000, seconds: 2 },
    { startedAt: 2000, seconds: 3 },
    { startedAt: 2500, seconds: 0.5 },
    { startedAt: 60_000, seconds: 1 },
  ];
  expect(busySeconds(spans)).toBeCloseTo(5, 9);
});

test('with agreement, further answers are drawn apart from the greedy ones, and a second operating point is fitted', async () => {
  const { completer, seen } = standIn(right);
  const data = dataset(echo.slice(0, 20));
  writeFileSync(join(data, 'calibration.jsonl'), toJsonl(echo.slice(20, 40)));
  const sure = {
    ...completer,
    complete: async (asked: CompletionRequest) => ({ ...(await completer.complete(asked)), logprobs: [-0.1] }),
  };
  const { cascade, student } = await run(data, sure, { options: { cascade: true, agreement: 2, resamples: 200 } });
  const seeds = seen.asked.map(({ temperature, seed }) => `${temperature} ${seed}`);
  expect(seeds.filter((each) => each === '0 undefined')).toHaveLength(40);
  for (const seed of [1, 2]) expect(seeds.filter((each) => each === `0.7 ${seed}`)).toHaveLength(40);
  expect(cascade!.calibration.weights).toHaveLength(3);
  expect(cascade!.agreement).toMatchObject({ samples: 2, point: { n: 20 } });
  expect(cascade!.agreement!.calibration.weights).toHaveLength(4);
  expect(cascade!.agreement!.extraTime).toBeGreaterThan(0);
  expect(student.requests).toBe(20);
});

test('test items that stand in another dataset, which the student learned from, are leaks', async () => {
  const words = (i: number) => Array.from({ length: 12 }, (_, k) => `w${(i * 31 + k * 7919) % 9973}`).join(' ');
  const rows = Array.from({ length: 60 }, (_, i) => example(i, words(i), `label ${i % 4}`));
  const trainedOn = dataset([], rows.slice(0, 7));
  const { completer } = standIn(right);
  const folder = mkdtempSync(join(root, 'out-'));
  const given = { dataset: dataset(rows), completer, countTokens, folder, options: { resamples: 200 } };
  expect((await evaluate(given)).contamination).toMatchObject({ nearDuplicates: 0 });
  expect((await evaluate({ ...given, trainedOn })).contamination).toMatchObject({ nearDuplicates: 7 });
});
