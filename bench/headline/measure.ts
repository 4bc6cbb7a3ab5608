// One job through the pipeline: import, distill, compress, evaluate; then its ledger at two prices of the teacher.
import { mkdirSync, writeFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { readJsonl, toJsonl } from '../../src/base/jsonl.ts';
import { runCompress, servedModel } from '../../src/cli/compress.ts';
import { runDistill } from '../../src/cli/distill.ts';
import { runEvaluate } from '../../src/cli/evaluate.ts';
import { runImport } from '../../src/cli/import.ts';
import type { Session } from '../../src/cli/session.ts';
import type { Student } from '../../src/cli/student.ts';
import type { DistillFacts } from '../../src/distill/distill.ts';
import { EVALUATE_DEFAULTS, type EvaluateFacts, type ScoredItem } from '../../src/evaluate/evaluate.ts';
import { qualityOf } from '../../src/evaluate/quality.ts';
import { evaluatedFacts } from '../../src/report/evaluated.ts';
import { makeLedger } from '../../src/report/ledger.ts';
import { decide } from '../../src/report/verdict.ts';
import type { Job } from './jobs.ts';

/** Whose list prices the student is held against; the first is who answered. */
export const TEACHERS = ['gpt-4', 'gpt-4o'] as const;

export interface Measured {
  job: string;
  way: Job['way'];
  student: string;
  /** Of training. */
  budget: string;
  rows: { train: number; test: number; testable: number };
  quality: Pick<EvaluateFacts['quality'], 'teacher' | 'student' | 'ratio' | 'lower95'>;
  /** By task, where there are several. */
  slices: ({ task: string; n: number } & Measured['quality'])[];
  requestsPerSecond: number;
  training: { seconds: number; usd: number; epochs: number; tokens: number; reason: string };
  /** Import to GGUF, and USD for it. */
  made: { seconds: number; usd: number };
  /** By teacher price. */
  cost: { teacher: string; asOf: string; share: number; verdict: string; reasons: string[] }[];
  notes: string[];
  /** Right on the test if it always gave the most frequent answer of the training rows; earlier results have none. */
  blind?: number;
}

export interface Settings {
  budget: string;
  learningRate?: number;
  promptWeight?: number;
  batchTokens?: number;
}

export async function measure(session: Session, student: Student, job: Job, settings: Settings): Promise<Measured> {
  const folder = join(session.workspace, 'rows');
  mkdirSync(folder, { recursive: true });
  const file = (split: string) => join(folder, `${job.name} ${job.way} ${split}.jsonl`.replaceAll(' ', '-'));
  writeFileSync(file('train'), toJsonl(job.train));
  writeFileSync(file('test'), toJsonl(job.test));
  const dataset = await runImport(session, file('train'), { test: file('test') });
  const distilled = await runDistill(session, student, dataset, settings);
  const compressed = await runCompress(session, student, distilled, { type: ['q8_0'] });
  const choices = { scorer: 'label', maxTokens: 0, labelSet: true };
  const evaluation = await runEvaluate(session, servedModel(compressed, 'q8_0'), dataset, choices);
  const made = [dataset, distilled, compressed];
  const facts = evaluation.manifest.facts as EvaluateFacts;
  const items = await readJsonl<ScoredItem>(join(evaluation.path, 'scores.jsonl'));
  const ledger = (teacherModel: string) =>
    makeLedger([...made, evaluation], evaluatedFacts(evaluation), { teacherModel });
  const { spent } = ledger(TEACHERS[0]);
  const sum = (pick: (entry: (typeof spent)[number]) => number) =>
    spent.filter(({ stage }) => stage !== 'evaluate').reduce((total, entry) => total + pick(entry), 0);
  const training = spent.find(({ stage }) => stage === 'distill')!;
  const { epochs, tokens, reason } = distilled.manifest.facts as unknown as DistillFacts;
  return {
    job: job.name,
    way: job.way,
    student: basename(student.name).replace(/\.gguf$/, ''),
    budget: settings.budget,
    rows: { train: job.train.length, test: items.length, testable: job.testable },
    quality: shown(facts.quality),
    slices: bySlice(items),
    requestsPerSecond: facts.speed.requestsPerSecond,
    training: { seconds: training.seconds, usd: training.usd, epochs, tokens, reason },
    made: { seconds: sum((entry) => entry.seconds), usd: sum((entry) => entry.usd) },
    cost: TEACHERS.map((teacher) => {
      const one = ledger(teacher);
      const { asOf } = one.teacher.models[0].price;
      return { teacher, asOf, share: one.share, ...decide(evaluatedFacts(evaluation), one) };
    }),
    notes: facts.notes,
    blind: blindScore(job),
  };
}

/** What needs no model at all: a student below it has learned nothing. */
export function blindScore({ train, test }: Pick<Job, 'train' | 'test'>): number {
  const answer = (row: Job['train'][number]) => row.messages.at(-1)!.content;
  const counts = new Map<unknown, number>();
  for (const row of train) counts.set(answer(row), (counts.get(answer(row)) ?? 0) + 1);
  const [most] = [...counts].reduce((a, b) => (b[1] > a[1] ? b : a));
  return test.filter((row) => (row.reference ?? answer(row)) === most).length / test.length;
}

function shown({ teacher, student, ratio, lower95 }: Measured['quality']): Measured['quality'] {
  return { teacher, student, ratio, lower95 };
}

function bySlice(items: readonly ScoredItem[]): Measured['slices'] {
  const tasks = [...new Set(items.map((item) => item.tags!.task))];
  if (tasks.length < 2) return [];
  return tasks.map((task) => {
    const pairs = items
      .filter((item) => item.tags!.task === task)
      .map((item) => ({ student: item.studentScore, teacher: item.teacherScore }));
    return { task, n: pairs.length, ...shown(qualityOf(pairs, EVALUATE_DEFAULTS)) };
  });
}
