// Exact McNemar test: are the items that only one of the two gets right shared out evenly?
import { binomialTail } from './binomial.ts';
import type { Pair } from './pairs.ts';

export interface McNemar {
  /** Items that only the student, only the teacher gets (more) right. */
  studentOnly: number;
  teacherOnly: number;
  /** Of "no difference" against "a difference", and against "the student is worse". */
  twoSided: number;
  studentWorse: number;
}

/** McNemar, 1947, by the binomial distribution. Graded scores count by which of the two is higher (the sign test). */
export function mcnemar(pairs: readonly Pair[]): McNemar {
  const studentOnly = pairs.filter((pair) => pair.student > pair.teacher).length;
  const teacherOnly = pairs.filter((pair) => pair.teacher > pair.student).length;
  const n = studentOnly + teacherOnly;
  const tail = binomialTail(Math.max(studentOnly, teacherOnly), n, 0.5);
  return {
    studentOnly,
    teacherOnly,
    twoSided: Math.min(1, 2 * tail),
    studentWorse: binomialTail(teacherOnly, n, 0.5),
  };
}
