// Tasks as data: every task file loads, published layouts are read, and LawBench's rule gives the published figures.
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { strToU8, zipSync } from 'fflate';
import { parquetWriteFile } from 'hyparquet-writer';
import { afterAll, describe, expect, test } from 'vitest';
import { toJsonl } from '../../base/jsonl.ts';
import type { Completer } from '../../chat/completer.ts';
import { taskItems, toExamples } from './items.ts';
import { namesWanted, parseTable } from './rows.ts';
import { runTask, scoreRecorded } from './run.ts';
import { readTask, Task, taskNames } from './task.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-tasks-'));
afterAll(() => rmSync(root, { recursive: true, force: true }));

function folderWith(files: Record<string, string>): string {
  const folder = mkdtempSync(join(root, 'data-'));
  for (const [name, text] of Object.entries(files)) {
    mkdirSync(dirname(join(folder, name)), { recursive: true });
    writeFileSync(join(folder, name), text);
  }
  return folder;
}

/** Answers by rule; `likelihood` by the text of context and continuation. */
function standIn(
  answer: (prompt: string) => string,
  likelihood?: (context: string, text: string) => number,
): Completer {
  return {
    name: 'stand-in',
    concurrency: 3,
    complete: async ({ messages }) => ({
      text: answer(String(messages.at(-1)!.content)),
      finishReason: 'stop',
      promptTokens: 1,
      completionTokens: 1,
      seconds: 0,
    }),
    ...(likelihood
      ? {
          loglikelihood: async ({ context, continuations }) =>
            continuations.map((text) => ({ logprob: likelihood(context, text), tokens: 1, greedy: false })),
        }
      : {}),
    close: async () => {},
  };
}

test('of a data set, the files that a task reads: the first pattern of each split, and nothing else', () => {
  const { files } = readTask('cmmlu');
  const names = ['README.md', 'test/law.csv', 'test/art.csv', 'dev/law.csv', 'cmmlu_v1_0_1/test/law.csv'];
  expect(namesWanted(names, [files.test, files.fewShot!])).toEqual(['test/law.csv', 'test/art.csv', 'dev/law.csv']);
  expect(namesWanted(['data/data_full.json'], [readTask('clinc150').files.test])).toEqual(['data/data_full.json']);
  expect(namesWanted(['other.csv'], [files.test])).toEqual([]);
});

test('every task that comes along is well formed', () => {
  const names = taskNames();
  expect(names).toEqual(
    expect.arrayContaining([
      'agieval',
      'banking77',
      'c-eval',
      'clinc150',
      'cmmlu',
      'gsm8k',
      'lawbench-2-4',
      'mmlu',
      'waimai',
    ]),
  );
  for (const name of names) expect(readTask(name).name).toBe(name);
  expect(() => readTask('no-such-task')).toThrow(/choose|no task/);
});

describe('prompts as lm-evaluation-harness writes them', () => {
  test('MMLU from its CSV files, with examples of the same subject', async () => {
    const folder = folderWith({
      'test/high_school_physics_test.csv': 'question,A,B,C,D,answer\n"What, if\n""any""? ",w, x,y,z,C\n',
      'dev/high_school_physics_dev.csv': 'One?,a,b,c,d,A\nTwo?,a,b,c,d,B\n',
      'dev/anatomy_dev.csv': 'Other?,a,b,c,d,A\n',
    });
    const [item] = await taskItems(readTask('mmlu'), folder, { fewShot: 1 });
    expect(item.prompt).toBe(
      'The following are multiple choice questions (with answers) about high school physics.\n\n' +
        'One?\nA. a\nB. b\nC. c\nD. d\nAnswer: A\n\nWhat, if\n"any"?\nA. w\nB.  x\nC. y\nD. z\nAnswer:',
    );
    expect(item).toMatchObject({ choices: ['A', 'B', 'C', 'D'], gold: 2, subject: 'high_school_physics' });
  });

  test('one file alone, whose name tells the subject', async () => {
    const folder = folderWith({ 'moral_disputes_test.csv': 'Who?,w,x,y,z,C\n' });
    const [item] = await taskItems(readTask('mmlu'), join(folder, 'moral_disputes_test.csv'));
    expect(item.prompt).toMatch(/about moral disputes\.\n\nWho\?/);
    expect(item).toMatchObject({ gold: 2, subject: 'moral_disputes' });
  });

  test('MMLU from Parquet, with a list of choices and the answer as a number', async () => {
    const folder = folderWith({});
    mkdirSync(join(folder, 'all'));
    parquetWriteFile({
      filename: join(folder, 'all', 'test-00000-of-00001.parquet'),
      columnData: [
        { name: 'question', data: ['Why?'], type: 'STRING' },
        { name: 'subject', data: ['logic'], type: 'STRING' },
        { name: 'choices', data: [['p', 'q', 'r', 's']], type: 'JSON' },
        { name: 'answer', data: [3n], type: 'INT64' },
      ],
    });
    const [item] = await taskItems(readTask('mmlu'), folder, { fewShot: 0 });
    expect(item.prompt).toMatch(/about logic\.\n\nWhy\?\nA\. p\nB\. q\nC\. r\nD\. s\nAnswer:$/);
    expect(item.gold).toBe(3);
  });

  test('CMMLU and C-Eval in Chinese', async () => {
    const cmmlu = folderWith({ 'test/agronomy.csv': ',Question,A,B,C,D,Answer\n0,问题？,甲,乙,丙,丁,D\n' });
    expect((await taskItems(readTask('cmmlu'), cmmlu, { fewShot: 0 }))[0]).toMatchObject({
      prompt: '以下是关于农学的单项选择题，请直接给出正确答案的选项。\n\n问题？\nA. 甲\nB. 乙\nC. 丙\nD. 丁\n答案：',
      gold: 3,
    });
    const ceval = folderWith({ 'val/law_val.csv': 'id,question,A,B,C,D,answer\n7,问？,甲,乙,丙,丁,B\n' });
    expect((await taskItems(readTask('c-eval'), ceval, { fewShot: 0 }))[0]).toMatchObject({
      id: 'law-7',
      gold: 1,
      subject: 'law',
      prompt: expect.stringMatching(/^以下是中国关于法学的单项选择题/),
    });
  });

  test('CMMLU from the archive of the hub', async () => {
    const folder = folderWith({});
    const csv = (answer: string) => strToU8(`,Question,A,B,C,D,Answer\n0,问？,甲,乙,丙,丁,${answer}\n`);
    const files = { 'test/anatomy.csv': csv('B'), 'test/virology.csv': csv('C'), 'dev/virology.csv': csv('A') };
    writeFileSync(join(folder, 'cmmlu_v1_0_1.zip'), zipSync(files));
    const items = await taskItems(readTask('cmmlu'), folder, { fewShot: 1 });
    expect(items.map(({ subject, gold }) => [subject, gold])).toEqual([
      ['anatomy', 1],
      ['virology', 2],
    ]);
    expect(items[1].prompt).toMatch(/^以下是关于病毒学的.*答案： A\n\n问？/s);
    writeFileSync(join(folder, 'cmmlu_v1_0_1.zip'), 'no archive');
    await expect(taskItems(readTask('cmmlu'), folder)).rejects.toThrow(/zip archive/);
  });

  test('AGIEval as its authors published it, one file; and items with several right choices', async () => {
    const row = { passage: null, question: '1+1?', options: ['(A)2', '(B)3', '(C)two'], label: 'C' };
    const folder = folderWith({
      'aqua-rat.jsonl': toJsonl([row]),
      'jec.jsonl': toJsonl([{ query: 'q', choices: ['a', 'b', 'c'], gold: [0, 2] }]),
    });
    const [item] = await taskItems(readTask('agieval-en'), join(folder, 'aqua-rat.jsonl'));
    expect(item).toMatchObject({
      prompt: 'Q: 1+1? Answer Choices: (A)2 (B)3 (C)two\nA: Among A through C, the answer is',
      gold: 2,
    });
    const items = await taskItems(readTask('agieval'), join(folder, 'jec.jsonl'));
    expect(items[0]).toMatchObject({ gold: 0, golds: [0, 2] });
    for (const [best, score] of [
      ['a', 1],
      ['b', 0],
      ['c', 1],
    ] as const) {
      const completer = standIn(
        () => '',
        (_, text) => (text === ` ${best}` ? -1 : -2),
      );
      expect(await runTask({ task: readTask('agieval'), items, completer })).toMatchObject({ score });
    }
  });

  test('AGIEval brings its prompts and choices', async () => {
    const folder = folderWith({
      'aqua.jsonl': toJsonl([{ query: 'Q: 1+1?\nA:', choices: ['(A)2', '(B)3'], gold: [0] }]),
    });
    expect((await taskItems(readTask('agieval'), folder))[0]).toMatchObject({ prompt: 'Q: 1+1?\nA:', gold: 0 });
  });
});

describe('multiple choice', () => {
  const folder = folderWith({
    'items.jsonl': toJsonl([
      { query: 'first', choices: ['yes', 'certainly not'], gold: 1 },
      { query: 'second', choices: ['yes', 'no'], gold: 0 },
    ]),
  });
  // the long one is less likely as a whole, but likelier for each character
  const likelihood = (_: string, text: string) => (text.length > 5 ? -6 : text === ' yes' ? -3 : -4);

  test('is decided by likelihood, and by likelihood for each character', async () => {
    const task = readTask('agieval');
    const result = await runTask({
      task,
      items: await taskItems(task, folder),
      completer: standIn(() => '', likelihood),
    });
    expect(result.answers.map(({ chosen, chosenNormalised }) => [chosen, chosenNormalised])).toEqual([
      [0, 1],
      [0, 0],
    ]);
    expect(result.answers.map(({ score }) => score)).toEqual([0, 1]);
    expect(result).toMatchObject({ n: 2, score: 1, accuracyNormalised: 1, task: 'agieval', version: 1 });
  });

  test('needs a completer that can tell likelihoods', async () => {
    const task = readTask('agieval');
    const run = runTask({ task, items: await taskItems(task, folder), completer: standIn(() => 'A') });
    await expect(run).rejects.toThrow(/cannot tell how likely/);
  });
});

describe('generation', () => {
  test('GSM8K: the number after ####, or the last one', async () => {
    const task = readTask('gsm8k');
    const rows = ['#### 1,200', '#### 7', '#### 3'].map((answer, i) => ({ question: `q${i}`, answer: `so ${answer}` }));
    const folder = folderWith({ 'test.jsonl': toJsonl(rows) });
    const answers = ['we get 5 and\n#### 1200', 'it is $7.00.', 'three'];
    const completer = standIn((prompt) => answers[Number(/q(\d)\nAnswer:$/.exec(prompt)![1])]);
    const result = await runTask({ task, items: await taskItems(task, folder, { fewShot: 0 }), completer });
    expect(result.answers.map(({ score }) => score)).toEqual([1, 1, 0]);
    expect(result.interval.lower).toBeGreaterThan(0.2);
  });

  test('labels by name, from JSON with members and from 0 and 1', async () => {
    const clinc = folderWith({
      'data_full.json': JSON.stringify({
        test: [
          ['hi there', 'greeting'],
          ['bye', 'goodbye'],
        ],
      }),
    });
    const items = await taskItems(readTask('clinc150'), clinc);
    expect(items[0].prompt).toBe(
      "Which intent does this customer's message have? Answer with one of: goodbye, greeting.\n\nhi there",
    );
    const waimai = folderWith({ 'waimai_10k.csv': '\uFEFFlabel,review\r\n1,很好\r\n0,"太慢,难吃"\r\n' });
    expect((await taskItems(readTask('waimai'), waimai)).map(({ target }) => target)).toEqual(['positive', 'negative']);
    const banking = folderWith({ 'test.csv': 'text,category\nwhere is my card?,card_arrival\n' });
    const [example] = toExamples(readTask('banking77'), await taskItems(readTask('banking77'), banking));
    expect(example).toMatchObject({ reference: 'card_arrival', tags: { task: 'banking77', language: 'en' } });
  });

  test('classes of the hub by their names, which the metadata of its Parquet files hold', async () => {
    const folder = folderWith({});
    mkdirSync(join(folder, 'data'));
    parquetWriteFile({
      filename: join(folder, 'data', 'test-00000-of-00001.parquet'),
      columnData: [
        { name: 'text', data: ['where is my card?'], type: 'STRING' },
        { name: 'label', data: [1n], type: 'INT64' },
      ],
      kvMetadata: [
        {
          key: 'huggingface',
          value: JSON.stringify({
            info: {
              features: { text: { dtype: 'string' }, label: { names: ['age', 'card_arrival'], _type: 'ClassLabel' } },
            },
          }),
        },
      ],
    });
    expect((await taskItems(readTask('banking77'), folder))[0].target).toBe('card_arrival');
  });

  test('a task names its tolerance and its schema; a pattern that takes for ever is named', async () => {
    const base = {
      name: 'own',
      version: 1,
      source: '-',
      language: 'en',
      files: { test: ['a.jsonl'] },
      prompt: '{{q}}',
      output: 'generate',
      target: '{{a}}',
    };
    const folder = folderWith({
      'a.jsonl': toJsonl([{ q: 'x', a: '100' }]),
      'b.jsonl': toJsonl([{ q: 'x', a: '{"n": 1}' }]),
    });
    const run = async (more: object, answer: string) => {
      const task = Task.parse({ ...base, ...more });
      return (await runTask({ task, items: await taskItems(task, folder), completer: standIn(() => answer) })).score;
    };
    const tolerance = { absolute: 0, relative: 0.1 };
    expect(await run({ scorer: 'numeric' }, '95')).toBe(0);
    expect(await run({ scorer: 'numeric', tolerance }, '95')).toBe(1);
    const files = { test: ['b.jsonl'] };
    expect(await run({ scorer: 'json', files }, '{"n": 1}')).toBe(1);
    expect(await run({ scorer: 'json', files, schema: { required: ['m'] } }, '{"n": 1}')).toBe(0);
    await expect(run({ extract: [{ pattern: '^(a+)+$' }] }, `${'a'.repeat(40)}!`)).rejects.toThrow(
      /\(a\+\)\+\$ takes too long/,
    );
    await expect(run({ extract: [{ pattern: '(' }] }, 'a')).rejects.toThrow(/not a regular expression/);
  });

  test('a missing folder, a missing field and a wrong target say what to do', async () => {
    await expect(taskItems(readTask('mmlu'), join(root, 'none'))).rejects.toMatchObject({
      remedy: expect.stringMatching(/csv/),
    });
    const folder = folderWith({ 'test.jsonl': toJsonl([{ query: 'q', choices: ['a'] }]) });
    await expect(taskItems(readTask('agieval'), folder)).rejects.toThrow(/no field gold/);
    const wrong = folderWith({ 'test.jsonl': toJsonl([{ query: 'q', choices: ['a'], gold: 4 }]) });
    await expect(taskItems(readTask('agieval'), wrong)).rejects.toThrow(/none of the choices/);
  });
});

test('tables: quotes, doubled quotes, line breaks, no newline at the end', () => {
  expect(parseTable('a,"b ""c"", d"\r\n"e\nf",', ',').map(({ cells }) => cells)).toEqual([
    ['a', 'b "c", d'],
    ['e\nf', ''],
  ]);
});

describe('LawBench', () => {
  const conversation = (reference: string, content: string) => ({
    messages: [
      { role: 'user', content: '问？' },
      { role: 'assistant', content },
    ],
    reference,
  });

  test('the right option and no other, in the last marked answer', async () => {
    const rows = [
      conversation('劳动纠纷', '[类别]劳动纠纷<eoa>'),
      conversation('医疗纠纷', '我受到了人身损害\n[类别]医疗纠纷<eoa>'),
      conversation('公司法', '[类别]公司法、侵权<eoa>'),
      conversation('公司法', '不知道'),
    ];
    const task = readTask('lawbench-2-4');
    const items = await taskItems(task, folderWith({ '2-4.jsonl': toJsonl(rows) }));
    expect(scoreRecorded(task, items).answers.map(({ score }) => score)).toEqual([1, 1, 0, 0]);
    const choice = [
      conversation('正确答案:C。', '[正确答案]C<eoa>'),
      conversation('正确答案:B。', '[正确答案]AB<eoa>'),
    ];
    const cases = readTask('lawbench-3-6');
    const result = scoreRecorded(cases, await taskItems(cases, folderWith({ '3-6.jsonl': toJsonl(choice) })));
    expect(result.answers.map(({ score }) => score)).toEqual([1, 0]);
  });

  const beside = resolve(import.meta.dirname, '../../../../shared/data/lawbench');
  const data = process.env.CUPEL_LAWBENCH ?? (existsSync(beside) ? beside : undefined);
  // published accuracy of GPT-4, zero-shot, on all 500 items; the folder has 400 of them
  test.skipIf(!data).each([
    ['lawbench-2-4', 43.8, 176],
    ['lawbench-2-8', 61.2, 242],
    ['lawbench-3-6', 48.6, 188],
  ])(
    "%s: GPT-4's recorded answers score as published (needs ../shared/data/lawbench or CUPEL_LAWBENCH)",
    async (name, published, right) => {
      const task = readTask(name);
      const { n, score } = scoreRecorded(task, await taskItems(task, data!));
      expect(n).toBe(400);
      expect(Math.round(score * n)).toBe(right);
      const rest = (published / 100) * 500 - right;
      // of the hundred items that are not given, as many must be right as the published figure leaves
      expect(rest).toBeGreaterThanOrEqual(0);
      expect(rest).toBeLessThanOrEqual(100);
      expect(Math.abs(score - published / 100)).toBeLessThan(0.02);
    },
  );
});

describe('what is wrong in data or task is said with its place', () => {
  const items = (name: string, files: Record<string, string>, options?: { fewShot: number }) =>
    taskItems(readTask(name), folderWith(files), options);

  test.each([
    ['a quote never closed', 'banking77', { 'test.csv': 'text,category\nx,y\n"a,b\nc,d\n' }, 3, /never closed/],
    ['a cell too few', 'mmlu', { 'test/x_test.csv': '"Q\n1",a,b,c,d,B\nQ2,a,b,c,d\n' }, 3, /5 cells, where 6/],
    ['an answer that is no choice', 'mmlu', { 'test/x_test.csv': 'Q,a,b,c,d,B\nQ,a,b,c,d,E\n' }, 2, /"E" is none/],
    ['a field not there', 'gsm8k', { 'test.jsonl': '\n{"question": "q"}\n' }, 2, /no field answer/],
    ['half a line', 'gsm8k', { 'test.jsonl': '{"question":\n' }, 1, /not JSON/],
    ['no object', 'gsm8k', { 'test.jsonl': '{"question": "q", "answer": "1"}\nnull\n' }, 2, /not an item/],
    ['no conversation', 'lawbench-2-4', { '2-4.jsonl': '{"messages": "hi", "reference": "x"}' }, 1, /conversation/],
  ])('%s', async (_, task, files, line, message) => {
    const error = await items(task, files, { fewShot: 0 }).catch((thrown: unknown) => thrown);
    expect(error).toMatchObject({ message: expect.stringMatching(message), place: { line }, exitCode: 2 });
  });

  test('no item, no recorded answer and no examples are errors, not scores of 0', async () => {
    await expect(items('banking77', { 'test.csv': 'text,category\n' })).rejects.toThrow(/no item/);
    const one = { 'test.csv': 'text,category\nx,y\n' };
    await expect(items('banking77', one, { fewShot: 2 })).rejects.toThrow(/no examples/);
    const task = readTask('banking77');
    const there = await taskItems(task, folderWith(one));
    expect(() => scoreRecorded(task, there)).toThrow(/no answer is recorded/);
  });

  test.each([
    ['choices', { output: 'multiple-choice', prompt: '{{q}}' }],
    ['prompt', { output: 'generate' }],
    ['scorer', { output: 'generate', prompt: '{{q}}', scorer: 'bleu' }],
    ['extract.0.pattern', { output: 'generate', prompt: '{{q}}', extract: [{ pattern: '((' }] }],
    ['files.fewShot', { output: 'generate', prompt: '{{q}}', fewShot: { count: 2, separator: ' ' } }],
  ])('a task file with a wrong %s', (field, part) => {
    const plain = { name: 't', version: 1, source: 's', language: 'en', files: { test: ['t.csv'] }, target: '{{a}}' };
    const file = join(folderWith({ 'task.json': JSON.stringify({ ...plain, ...part }) }), 'task.json');
    expect(() => readTask(file)).toThrow(expect.objectContaining({ place: { file, field }, exitCode: 2 }));
  });
});
