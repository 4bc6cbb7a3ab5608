// The quality-cost plane: teacher and every evaluated student of the same test as points with intervals.
import type { Artifact } from '../artifacts/store.ts';
import { type Evaluated, evaluatedFacts } from './evaluated.ts';
import { type Ledger, type LedgerOptions, makeLedger } from './ledger.ts';

export interface PlanePoint {
  name: string;
  tone: 'a' | 'b';
  /** USD for 1,000 requests. */
  usdPer1k: number;
  quality: number;
  /** 95% Wilson interval. */
  lower: number;
  upper: number;
}

/** USD for 1,000 requests of an evaluated student and of its teacher. */
export function costsPer1k(evaluation: Artifact, options: LedgerOptions = {}): { student: number; teacher: number } {
  const { student, teacher } = makeLedger([evaluation], evaluatedFacts(evaluation), { ...options, traffic: undefined });
  return { student: student.usdPer1k, teacher: teacher.usdPer1k };
}

/** The operating point of a student's cascade with its teacher; the student is asked every time, the teacher what is left. */
function cascadePoint({ cascade, student }: Evaluated, ledger: Ledger): PlanePoint[] {
  if (!cascade || !ledger.cascade) return [];
  const { quality, n } = cascade.point;
  const name = `${student.name} with its teacher`;
  return [{ name, tone: 'a', usdPer1k: ledger.cascade.usdPer1k, quality, ...wilson(quality, n) }];
}

/** Two-sided 95% interval of a mean score (Wilson, 1927). */
function wilson(p: number, n: number): { lower: number; upper: number } {
  const z = 1.959964;
  const centre = (p + z ** 2 / (2 * n)) / (1 + z ** 2 / n);
  const half = (z / (1 + z ** 2 / n)) * Math.sqrt((p * (1 - p)) / n + z ** 2 / (4 * n ** 2));
  return { lower: Math.max(0, centre - half), upper: Math.min(1, centre + half) };
}

/** Students cheapest first, then the teacher. Evaluations of another test split than the main one's are left out. */
export function planePoints(main: Artifact, others: readonly Artifact[], options: LedgerOptions): PlanePoint[] {
  const { testHash, quality } = evaluatedFacts(main);
  const same = [main, ...others].filter(({ manifest }) => manifest.facts.testHash === testHash);
  const unique = [...new Map(same.map((artifact) => [artifact.manifest.key, artifact])).values()];
  const points = unique.flatMap((artifact): PlanePoint[] => {
    const evaluated = evaluatedFacts(artifact);
    const ledger = makeLedger([artifact], evaluated, { ...options, traffic: undefined });
    const { student: value, studentInterval } = evaluated.quality;
    const { usdPer1k } = ledger.student;
    const alone = { name: evaluated.student.name, usdPer1k, quality: value, ...studentInterval };
    return [{ ...alone, tone: 'a' }, ...cascadePoint(evaluated, ledger)];
  });
  const { teacher } = makeLedger([main], evaluatedFacts(main), { ...options, traffic: undefined });
  const name = [...new Set(teacher.models.map(({ model }) => model))].join(', ') || 'teacher';
  const { lower, upper } = quality.teacherInterval;
  return [
    ...points.sort((a, b) => a.usdPer1k - b.usdPer1k),
    { name, tone: 'b', usdPer1k: teacher.usdPer1k, quality: quality.teacher, lower, upper },
  ];
}
