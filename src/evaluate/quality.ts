// From scored items to quality: means, their ratio, its bound, and what further items would be needed.

import { bcaBound } from './statistics/bca.ts';
import { bootstrapRatios, percentileBound } from './statistics/bootstrap.ts';
import { guardedBound } from './statistics/guarded.ts';
import { type McNemar, mcnemar } from './statistics/mcnemar.ts';
import { nonInferiority } from './statistics/noninferiority.ts';
import { means, type Pair } from './statistics/pairs.ts';
import { fewestItems, requiredUnits } from './statistics/required.ts';
import { wilson } from './statistics/wilson.ts';

/** Smallest ratio student/teacher that counts as the same quality. */
export const MARGIN = 0.95;
/** Of the one-sided lower bound. */
export const CONFIDENCE = 0.95;

export interface Quality {
  /** Mean scores, 0 to 1. Scored against the teacher's answers, the teacher's is 1 by definition. */
  student: number;
  teacher: number;
  /** student / teacher; 0 when the teacher has no score. */
  ratio: number;
  /** One-sided 95% lower bound of the ratio: the lesser of the guarded and the plain paired bootstrap. */
  lower95: number;
  /** The plain paired bootstrap's, for comparison; too bold for few or nearly faultless items. */
  bootstrap95: number;
  /** The bias-corrected and accelerated bootstrap's, for comparison. */
  bca95: number;
  /** Mean of student - teacher, and its one-sided 95% lower bound. */
  difference: { mean: number; lower95: number };
  mcnemar: McNemar;
  n: number;
  /** Two-sided 95% Wilson intervals. */
  studentInterval: { lower: number; upper: number };
  teacherInterval: { lower: number; upper: number };
  /** Items that would prove the margin, were they like these; null when no number would. */
  needed: number | null;
}

export function qualityOf(pairs: readonly Pair[], options: { resamples: number; seed: number }): Quality {
  const n = pairs.length;
  const whole = { lower: 0, upper: 1 };
  const none = { student: 0, teacher: 0, ratio: 0, lower95: 0, bootstrap95: 0, bca95: 0, mcnemar: mcnemar([]) };
  const difference = { mean: 0, lower95: -1 };
  if (n === 0) {
    return {
      ...none,
      difference,
      n,
      studentInterval: whole,
      teacherInterval: whole,
      needed: fewestItems(MARGIN, CONFIDENCE),
    };
  }
  const { student, teacher, ratio } = means(pairs);
  const guard = { ...options, confidence: CONFIDENCE };
  const ratios = bootstrapRatios(pairs, options);
  const bootstrap95 = percentileBound(ratios, CONFIDENCE);
  const { excess: mean, lower } = nonInferiority(pairs, { kind: 'absolute', value: 0 }, guard);
  const needed = requiredUnits(pairs, MARGIN, guard);
  return {
    student,
    teacher,
    ratio: Number.isNaN(ratio) ? 0 : ratio,
    lower95: Math.min(guardedBound(pairs, guard), bootstrap95),
    bootstrap95,
    bca95: bcaBound(pairs, ratios, CONFIDENCE),
    difference: { mean, lower95: lower },
    mcnemar: mcnemar(pairs),
    n,
    studentInterval: wilson(student * n, n),
    teacherInterval: wilson(teacher * n, n),
    needed: Number.isFinite(needed) ? needed : null,
  };
}
