// One job: a student for each fold, their quality together, what one of them cost, and what needs no student at all.
import { basename } from 'node:path';
import type { Session } from '../../src/cli/session.ts';
import type { Student } from '../../src/cli/student.ts';
import type { DistillFacts } from '../../src/distill/distill.ts';
import { Evaluated } from '../../src/report/evaluated.ts';
import { makeLedger } from '../../src/report/ledger.ts';
import { decide } from '../../src/report/verdict.ts';
import { type Baselines, baselines } from './baselines.ts';
import { type FoldRun, runFold, type Training } from './fold.ts';
import type { Fold, Job } from './jobs.ts';
import { type PooledCascade, pooledCascade, pooledFacts } from './pooled.ts';
import { billed, type Ratio, ratioOf, type Slice, slicesOf } from './slices.ts';

/** Whose list prices the student is held against; the first is who answered. */
export const TEACHERS = ['gpt-4', 'gpt-4o'] as const;

export interface Measured {
  job: string;
  way: Job['way'];
  student: string;
  /** Of one training, at most. */
  budget: string;
  /** Passes over the training rows, at most. */
  passes?: number;
  /** Students, each tested on the items that only it had not seen; earlier results had one. */
  folds?: number;
  rows: { train: number; test: number; testable: number };
  quality: Ratio;
  /** By task, where there are several. */
  slices: Slice[];
  /** Items a second. */
  requestsPerSecond: number;
  /** Of one student: the mean of the folds'. */
  training: { seconds: number; usd: number; epochs: number; tokens: number; reason: string };
  /** Import to GGUF, and USD for it; of one student. */
  made: { seconds: number; usd: number };
  /** By teacher price. */
  cost: { teacher: string; asOf: string; share: number; verdict: string; reasons: string[] }[];
  notes: string[];
  /** Student and teacher together; `share` of the teacher's cost, by teacher price. */
  cascade?: PooledCascade & { share: number[] };
  /** Right on the test without a language model. */
  baselines?: Baselines;
  /** Right on the test if it always gave the most frequent answer of the training rows; earlier results. */
  blind?: number;
}

export async function measure(session: Session, student: Student, job: Job, training: Training): Promise<Measured> {
  const folds: FoldRun[] = [];
  for (const number of job.folds.keys()) folds.push(await runFold(session, student, job, number, training));
  const items = folds.flatMap((fold) => fold.items);
  const tokens = billed(job.folds.flatMap(({ test }) => test));
  const facts = pooledFacts(folds, tokens);
  const evaluated = Evaluated.parse(facts);
  const mean = (pick: (fold: FoldRun) => number) => folds.reduce((sum, fold) => sum + pick(fold), 0) / folds.length;
  const ledgerOf = ({ dataset, distilled, compressed, evaluation }: FoldRun, teacherModel: string, of = evaluated) =>
    makeLedger([dataset, distilled, compressed, evaluation], of, { teacherModel });
  const spent = (fold: FoldRun, stages: readonly string[]) =>
    ledgerOf(fold, TEACHERS[0]).spent.filter(({ stage }) => stages.includes(stage));
  const total = (stages: readonly string[], pick: 'seconds' | 'usd') =>
    mean((fold) => spent(fold, stages).reduce((sum, entry) => sum + entry[pick], 0));
  const distilled = (fold: FoldRun) => fold.distilled.manifest.facts as unknown as DistillFacts;
  const making = ['import', 'distill', 'compress'];
  const cascade = pooledCascade(folds);
  const ledgers = TEACHERS.map((teacher) => ledgerOf(folds[0], teacher));
  return {
    job: job.name,
    way: job.way,
    student: basename(student.name).replace(/\.gguf$/, ''),
    budget: training.budget,
    passes: training.maxEpochs,
    folds: folds.length,
    rows: { train: job.folds[0].learned.length, test: items.length, testable: job.testable },
    quality: ratioOf(facts.quality),
    slices: slicesOf(job, folds, facts, TEACHERS, (slice, teacher) => ledgerOf(folds[0], teacher, slice)),
    requestsPerSecond: facts.speed.requestsPerSecond,
    training: {
      seconds: total(['distill'], 'seconds'),
      usd: total(['distill'], 'usd'),
      epochs: mean((fold) => distilled(fold).epochs),
      tokens: mean((fold) => distilled(fold).tokens),
      reason: [...new Set(folds.map((fold) => distilled(fold).reason))].join('; '),
    },
    made: { seconds: total(making, 'seconds'), usd: total(making, 'usd') },
    cost: ledgers.map((ledger, i) => {
      const { asOf } = ledger.teacher.models[0].price;
      const { verdict, reasons } = decide(evaluated, ledger);
      // a proof is of one file; that of several made alike is of how they were made
      const named = folds.length > 1 && verdict === 'proven' ? 'recipe proven' : verdict;
      return { teacher: TEACHERS[i], asOf, share: ledger.share, verdict: named, reasons };
    }),
    notes: facts.notes,
    cascade: { ...cascade, share: ledgers.map(({ share }) => share + 1 - cascade.local) },
    baselines: pooledBaselines(job),
  };
}

/** Tasks apart, because a student of several learns each from its own rows. */
function pooledBaselines(job: Job): Baselines {
  const sums: Baselines = { frequent: 0, nearest: 0, linear: 0 };
  let all = 0;
  for (const fold of job.folds)
    for (const { train, test } of byTask(fold)) {
      const found = baselines({ train, test }, job.letters);
      for (const name of Object.keys(sums) as (keyof Baselines)[]) sums[name] += found[name] * test.length;
      all += test.length;
    }
  return { frequent: sums.frequent / all, nearest: sums.nearest / all, linear: sums.linear / all };
}

function byTask({ learned, test }: Fold) {
  return [...new Set(test.map((row) => row.tags!.task))].map((task) => ({
    train: learned.filter((row) => row.tags!.task === task),
    test: test.filter((row) => row.tags!.task === task),
  }));
}
