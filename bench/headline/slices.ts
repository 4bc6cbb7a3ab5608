// A student of several tasks, task by task: its quality, its cost, and a cascade whose threshold is the task's own.

import { cascadeOf } from '../../src/evaluate/cascade/cascade.ts';
import { EVALUATE_DEFAULTS, type EvaluateFacts } from '../../src/evaluate/evaluate.ts';
import { qualityOf } from '../../src/evaluate/quality.ts';
import { teacherTokens } from '../../src/evaluate/tokens.ts';
import { Evaluated } from '../../src/report/evaluated.ts';
import { COST_LIMIT, type Ledger } from '../../src/report/ledger.ts';
import { decide, QUALITY_LIMIT, type Verdict } from '../../src/report/verdict.ts';
import type { FoldRun, Item } from './fold.ts';
import type { Job } from './jobs.ts';
import { type PooledCascade, shown } from './pooled.ts';
import type { Row } from './rows.ts';

export type Ratio = Pick<EvaluateFacts['quality'], 'teacher' | 'student' | 'ratio' | 'lower95'>;

export interface Slice extends Ratio {
  task: string;
  n: number;
  /** Earlier results have none of these. */
  cost?: { teacher: string; share: number; verdict: Verdict['verdict'] }[];
  /** With a threshold of the task's own; `share` of the teacher's cost and the verdict on both together, by teacher price. */
  cascade?: PooledCascade & { share: number[]; verdict: Verdict['verdict'][] };
}

/**
 * @param whole facts of all tasks together: speed and leaks are theirs
 * @param ledgerOf what one of the items costs at a teacher's prices
 */
export function slicesOf(
  job: Job,
  folds: readonly FoldRun[],
  whole: EvaluateFacts,
  teachers: readonly string[],
  ledgerOf: (evaluated: Evaluated, teacher: string) => Ledger,
): Slice[] {
  const all = folds.flatMap(({ items }) => items);
  const tasks = [...new Set(all.map(({ task }) => task))];
  if (tasks.length < 2) return [];
  return tasks.map((task) => {
    const own = (items: readonly Item[]) => items.filter((item) => item.task === task);
    const items = own(all);
    const rows = job.folds.flatMap(({ test }) => test.filter(({ tags }) => tags!.task === task));
    const quality = qualityOf(items, EVALUATE_DEFAULTS);
    const evaluated = Evaluated.parse({ ...whole, teacher: billed(rows), quality });
    const ledgers = teachers.map((teacher) => ledgerOf(evaluated, teacher));
    return {
      task,
      n: items.length,
      ...ratioOf(quality),
      cost: ledgers.map((ledger, i) => ({
        teacher: teachers[i],
        share: ledger.share,
        verdict: decide(evaluated, ledger).verdict,
      })),
      ...(folds.length === 1 ? { cascade: together(own(folds[0].known), items, ledgers) } : {}),
    };
  });
}

/** What the teacher is paid for; the rows have their usage. */
export function billed(rows: readonly Row[]): EvaluateFacts['teacher'] {
  return teacherTokens(
    rows.map((row) => ({ ...row, line: 0 })),
    () => 0,
  );
}

export function ratioOf({ teacher, student, ratio, lower95 }: Ratio): Ratio {
  return { teacher, student, ratio, lower95 };
}

/** Exported for its test. */
export function together(
  known: readonly Item[],
  items: readonly Item[],
  ledgers: readonly Pick<Ledger, 'share'>[],
): NonNullable<Slice['cascade']> {
  const { point, reason } = cascadeOf(known, items, EVALUATE_DEFAULTS);
  const share = ledgers.map((ledger) => ledger.share + 1 - point.local);
  const kept = point.local > 0 && point.lower95 >= QUALITY_LIMIT;
  return {
    ...shown(point, reason),
    share,
    verdict: share.map((one) => (kept && one < COST_LIMIT ? 'proven' : 'not proven')),
  };
}
