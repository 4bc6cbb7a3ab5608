// The headline's jobs: which data, split how, learned from whom.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { CupelError } from '../../src/base/errors.ts';
import { readJsonl } from '../../src/base/jsonl.ts';
import { taskItems } from '../../src/evaluate/tasks/items.ts';
import { readTask } from '../../src/evaluate/tasks/task.ts';
import { lawTest, lawTraining, type Row, serviceRow, splitItems, type Way } from './rows.ts';

export interface Job {
  name: string;
  way: Way | 'gold';
  train: Row[];
  test: Row[];
  /** Items there are to test on, of which `test` is a sample where it is smaller. */
  testable: number;
}

export const LAW_TASKS = ['2-4', '2-8', '3-6'] as const;
/** Half of LawBench's 400 items a task are trained on, half are held out. */
const LAW_TRAIN_SHARE = 0.5;
const SERVICE = [
  { task: 'clinc150', language: 'en' },
  { task: 'waimai', language: 'zh' },
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

/** One legal task, learned in both ways; both are tested on the same items. */
export async function lawJobs(data: string, name: string, testItems: number): Promise<Job[]> {
  const task = readTask(`lawbench-${name}`);
  const items = await taskItems(task, join(data, 'lawbench'));
  const { train, test } = splitItems(items, LAW_TRAIN_SHARE);
  const held = lawTest(task, test.slice(0, testItems));
  return (['gpt-4', 'corrected'] as const).map((way) => ({
    name: `law ${name}`,
    way,
    train: lawTraining(task, train, way),
    test: held,
    testable: test.length,
  }));
}

/** English and Chinese customer service for one model. No answers of GPT-4 are there: the gold labels are teacher and measure. */
export async function serviceJob(data: string, testItems: number): Promise<Job> {
  const parts = await Promise.all(SERVICE.map((part) => serviceRows(data, part)));
  const shares = parts.map(({ test }) => splitItems(test, 1).train.slice(0, testItems));
  return {
    name: 'service en+zh',
    way: 'gold',
    train: splitItems(
      parts.flatMap(({ train }) => train),
      1,
    ).train,
    test: shares.flat(),
    testable: parts.reduce((sum, { test }) => sum + test.length, 0),
  };
}

async function serviceRows(data: string, { task: name, language }: (typeof SERVICE)[number]) {
  const folder = join(data, name);
  const prompts = await taskItems(readTask(name), folder);
  // every prompt of a task holds the same instruction; the training rows' is never billed
  const tags = { task: name, language };
  const row = (split: string, text: string, label: string, i: number) =>
    serviceRow(`${name}-${split}-${i}`, text, label, prompts[i]?.prompt ?? text, tags);
  const read = async (split: string) =>
    (await readJsonl<{ text: string; label: string }>(join(folder, `${split}.jsonl`))).map(({ text, label }, i) =>
      row(split, text, label, i),
    );
  return { train: await read('train'), test: await read('test') };
}
