// Planning: how many held-out items a verdict will need, and how likely it is with those there are.
import { normalCdf, normalQuantile } from './normal.ts';
import { fewestItems } from './required.ts';

export interface Expected {
  /** Share of items that the teacher gets right. */
  teacher: number;
  /** Expected quality of the student over the teacher's. */
  ratio: number;
  /** Of the items that the teacher gets wrong, the share that the student gets right. Default 0. */
  gain?: number;
}

export interface PlanOptions {
  /** As 0.95. */
  margin: number;
  confidence: number;
}

/** Items for which a student as good as expected is proven with probability `power`; Infinity when it is not good enough. */
export function itemsForPower(expected: Expected, power: number, options: PlanOptions): number {
  const { mean, sd } = excess(expected, options.margin);
  if (mean <= 0) return Number.POSITIVE_INFINITY;
  const z = normalQuantile(options.confidence) + normalQuantile(power);
  // n * mean - margin = z * sd * sqrt(n): the guarded bound counts one invented item that loses the margin
  const root = (z * sd + Math.sqrt((z * sd) ** 2 + 4 * mean * options.margin)) / (2 * mean);
  return Math.max(fewestItems(options.margin, options.confidence), Math.ceil(root ** 2));
}

/** Probability of "proven" with n items, by a normal approximation of the guarded bound (checked by simulation). */
export function powerOf(expected: Expected, n: number, options: PlanOptions): number {
  if (n < fewestItems(options.margin, options.confidence)) return 0;
  const { mean, sd } = excess(expected, options.margin);
  return normalCdf((n * mean - options.margin) / (sd * Math.sqrt(n)) - normalQuantile(options.confidence));
}

/** Mean and standard deviation of student - margin * teacher for right/wrong answers. */
function excess({ teacher, ratio, gain = 0 }: Expected, margin: number): { mean: number; sd: number } {
  const student = ratio * teacher;
  const both = student - gain * (1 - teacher);
  const mean = student - margin * teacher;
  // both right: 1 - margin; only the student: 1; only the teacher: -margin
  const square = both * (1 - margin) ** 2 + (student - both) + (teacher - both) * margin ** 2;
  return { mean, sd: Math.sqrt(Math.max(0, square - mean ** 2)) };
}
