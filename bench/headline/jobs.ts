// The headline's jobs: which data, split how, learned from whom.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CupelError } from '../../src/base/errors.ts';
import { readJsonl } from '../../src/base/jsonl.ts';
import { taskItems } from '../../src/evaluate/tasks/items.ts';
import { readTask } from '../../src/evaluate/tasks/task.ts';
import { casesOf } from './cases.ts';
import { askedOptions, optionRows } from './choice.ts';
import { foldsOf, lawPrompt, lawTest, lawTraining, type Row, serviceRow, splitItems, type Way } from './rows.ts';

/** One student: what it learns from, what it is asked, and the items that this decides. */
export interface Fold {
  train: Row[];
  test: Row[];
  /** Multiple choice: a row for each option of the test's items; else the test itself. */
  asked: Row[];
  /** Training items, of which `train` has several rows where it is multiple choice. */
  learned: Row[];
}

export interface Job {
  name: string;
  way: Way | 'gold';
  /** Several: every item is tested once, by the student that has not seen it (cross-fitting). */
  folds: Fold[];
  /** Items there are to test on, of which the folds' tests are a sample where they are fewer. */
  testable: number;
  /** Letters of the options, where each option is asked about by itself. */
  letters?: readonly string[];
}

export const LAW_TASKS = ['2-4', '2-8', '3-6'] as const;
/** Multiple choice; what is beyond so many characters of a question or an option is cut, which saves half of the tokens. */
const CHOICES: Partial<Record<string, number>> = { '2-8': 120, '3-6': 400 };
/**
 * `times`: how often the student reads the message. The second time each token may attend to all of it, though attention is causal
 * (Springer et al., 2024: "Repetition improves language model embeddings"); reviews are long, and twice would cost too much.
 */
const SERVICE = [
  { task: 'clinc150', language: 'en', times: 2 },
  { task: 'waimai', language: 'zh', times: 1 },
] as const;

/** @throws CupelError (exit code 2) where a data set is not there, naming what is looked for */
export function requireData(data: string): void {
  const wanted = [
    ...LAW_TASKS.map((name) => join(data, 'lawbench', `${name}.jsonl`)),
    ...SERVICE.flatMap(({ task }) => ['train', 'test'].map((split) => join(data, task, `${split}.jsonl`))),
  ];
  const missing = wanted.filter((file) => !existsSync(file));
  if (missing.length === 0) return;
  throw new CupelError(`the headline's data are not here: ${missing.length} of ${wanted.length} files are missing`, {
    place: { file: missing[0] },
    remedy: 'give the folder that holds lawbench/, clinc150/ and waimai/ with --data, or in CUPEL_HEADLINE_DATA',
    exitCode: 2,
  });
}

export interface LawOptions {
  /** 1: half is learned, half tested. More: so many students, each tested on its part and taught with all others. */
  folds: number;
  /** Most items tested in a fold. */
  testItems: number;
}

/** One legal task, learned in both ways; both are tested on the same items. */
export async function lawJobs(data: string, name: string, { folds, testItems }: LawOptions): Promise<Job[]> {
  const task = readTask(`lawbench-${name}`);
  const read = await taskItems(task, join(data, 'lawbench'));
  const most = CHOICES[name];
  const letters = most === undefined ? undefined : task.options!;
  const each = (rows: Row[]) => (letters ? rows.flatMap((row) => optionRows(row, letters, most!)) : rows);
  const prompts = read.map(lawPrompt);
  const cases = casesOf(prompts.map((text) => (letters ? [...askedOptions(text, letters, most!).values()] : [text])));
  const items = read.map((item, i) => ({ ...item, case: cases[i] }));
  const parts = foldsOf(items, folds, cases).map(({ train, test }) => {
    const held = lawTest(task, test.slice(0, testItems));
    return { train, test: held, asked: each(held), testable: test.length };
  });
  return (['gpt-4', 'corrected'] as const).map((way) => ({
    name: `law ${name}`,
    way,
    folds: parts.map(({ train, test, asked }) => {
      const learned = lawTraining(task, train, way);
      return { learned, train: each(learned), test, asked };
    }),
    testable: parts.reduce((sum, { testable }) => sum + testable, 0),
    letters,
  }));
}

/** English and Chinese customer service for one model. No answers of GPT-4 are there: the gold labels are teacher and measure. */
export async function serviceJob(data: string, testItems: number): Promise<Job> {
  const parts = await Promise.all(SERVICE.map((part) => serviceRows(data, part)));
  const shares = parts.map(({ test }) => splitItems(test, 1).train.slice(0, testItems));
  const test = shares.flat();
  const { train } = splitItems(
    parts.flatMap(({ train }) => train),
    1,
  );
  return {
    name: 'service en+zh',
    way: 'gold',
    folds: [{ learned: train, train, test, asked: test }],
    testable: parts.reduce((sum, { test }) => sum + test.length, 0),
  };
}

async function serviceRows(data: string, { task: name, language, times }: (typeof SERVICE)[number]) {
  const folder = join(data, name);
  const prompts = await taskItems(readTask(name), folder);
  // every prompt of a task holds the same instruction; the training rows' is never billed
  const tags = { task: name, language };
  const row = (split: string, text: string, label: string, i: number) =>
    serviceRow(`${name}-${split}-${i}`, Array(times).fill(text).join('\n'), label, prompts[i]?.prompt ?? text, tags);
  const read = async (split: string) =>
    (await readJsonl<{ text: string; label: string }>(join(folder, `${split}.jsonl`))).map(({ text, label }, i) =>
      row(split, text, label, i),
    );
  return { train: await read('train'), test: await read('test') };
}
