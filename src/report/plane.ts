// The quality-cost plane: teacher and every evaluated student of the same test as points with intervals.
import type { Artifact } from '../artifacts/store.ts';
import { evaluatedFacts } from './evaluated.ts';
import { type LedgerOptions, makeLedger } from './ledger.ts';

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

/** Students cheapest first, then the teacher. Evaluations of another test split than the main one's are left out. */
export function planePoints(main: Artifact, others: readonly Artifact[], options: LedgerOptions): PlanePoint[] {
  const { testHash, quality } = evaluatedFacts(main);
  const same = [main, ...others].filter(({ manifest }) => manifest.facts.testHash === testHash);
  const unique = [...new Map(same.map((artifact) => [artifact.manifest.key, artifact])).values()];
  const points = unique.map((artifact): PlanePoint => {
    const evaluated = evaluatedFacts(artifact);
    const { student } = makeLedger([artifact], evaluated, { ...options, traffic: undefined });
    const { student: value, studentInterval } = evaluated.quality;
    return { name: evaluated.student.name, tone: 'a', usdPer1k: student.usdPer1k, quality: value, ...studentInterval };
  });
  const { teacher } = makeLedger([main], evaluatedFacts(main), { ...options, traffic: undefined });
  const name = [...new Set(teacher.models.map(({ model }) => model))].join(', ') || 'teacher';
  const { lower, upper } = quality.teacherInterval;
  return [
    ...points.sort((a, b) => a.usdPer1k - b.usdPer1k),
    { name, tone: 'b', usdPer1k: teacher.usdPer1k, quality: quality.teacher, lower, upper },
  ];
}
