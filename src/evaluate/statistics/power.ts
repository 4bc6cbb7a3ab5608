// Planning: how many held-out items a verdict will need, and how likely it is with those there are.
import { Random } from '../../base/random.ts';
import { guardedBound } from './guarded.ts';
import { type Margin, nonInferiority } from './noninferiority.ts';
import { normalCdf, normalQuantile } from './normal.ts';
import type { Pair } from './pairs.ts';
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
  margin: Margin;
  confidence: number;
}

/** Beyond it the normal approximation is as good as what is simulated. */
const MOST_SIMULATED = 4000;
const RELEASES = 1000;
const RESAMPLES = 1000;

/**
 * Items for which a student as good as expected is proven with probability `power`; Infinity when it is not good enough. Within
 * 2%, and power goes up and down a little from one number to the next, because answers are counted.
 */
export function itemsForPower(expected: Expected, power: number, options: PlanOptions): number {
  const { mean, sd } = excess(expected, options.margin);
  // a mean of nothing but rounding is none
  if (mean <= 1e-12) return Number.POSITIVE_INFINITY;
  const { lost } = termsOf(options.margin);
  const z = normalQuantile(options.confidence) + normalQuantile(power);
  // n * mean - lost = z * sd * sqrt(n): the guarded bound counts one invented item, the worst that could come
  const root = (z * sd + Math.sqrt((z * sd) ** 2 + 4 * mean * lost)) / (2 * mean);
  let items = Math.max(fewestItems(lost, options.confidence), Math.ceil(root ** 2));
  while (powerOf(expected, items, options) < power) items = Math.ceil(items * 1.02 + 1);
  return items;
}

/** Probability of "proven" with n items that are independent and right or wrong: the share of simulated evaluations. */
export function powerOf(expected: Expected, n: number, options: PlanOptions): number {
  const { lost } = termsOf(options.margin);
  if (n < fewestItems(lost, options.confidence)) return 0;
  if (n > MOST_SIMULATED) return approximatePower(expected, n, options);
  const random = new Random(n);
  const known = new Map<string, boolean>();
  let proven = 0;
  for (let release = 0; release < RELEASES; release++) {
    const pairs = drawPairs(expected, n, random);
    // the bound depends on nothing but how often each pair of scores occurs
    const key = `${count(pairs, 1, 1)} ${count(pairs, 1, 0)} ${count(pairs, 0, 1)}`;
    const found = known.get(key) ?? isProven(pairs, options);
    known.set(key, found);
    if (found) proven++;
  }
  return proven / RELEASES;
}

function count(pairs: readonly Pair[], student: number, teacher: number): number {
  return pairs.filter((pair) => pair.student === student && pair.teacher === teacher).length;
}

function isProven(pairs: readonly Pair[], { margin, confidence }: PlanOptions): boolean {
  const bootstrap = { resamples: RESAMPLES, seed: 1, confidence };
  return margin.kind === 'relative'
    ? guardedBound(pairs, bootstrap) >= margin.value
    : nonInferiority(pairs, margin, bootstrap).lower > 0;
}

function drawPairs({ teacher, ratio, gain = 0 }: Expected, n: number, random: Random): Pair[] {
  const both = ratio * teacher - gain * (1 - teacher);
  return Array.from({ length: n }, () => {
    const right = random.next() < teacher;
    const share = right ? both / teacher : gain;
    return { teacher: Number(right), student: Number(random.next() < share) };
  });
}

function approximatePower(expected: Expected, n: number, { margin, confidence }: PlanOptions): number {
  const { mean, sd } = excess(expected, margin);
  const ahead = n * mean - termsOf(margin).lost;
  // all items alike: nothing is left to chance
  if (sd < 1e-9) return ahead >= 0 ? 1 : 0;
  return normalCdf(ahead / (sd * Math.sqrt(n)) - normalQuantile(confidence));
}

/** student - r * teacher + d, and what an item loses that only the teacher gets right. */
function termsOf(margin: Margin): { r: number; d: number; lost: number } {
  return margin.kind === 'relative'
    ? { r: margin.value, d: 0, lost: margin.value }
    : { r: 1, d: margin.value, lost: 1 - margin.value };
}

/** Mean and standard deviation of student - r * teacher + d for right/wrong answers. */
function excess({ teacher, ratio, gain = 0 }: Expected, margin: Margin): { mean: number; sd: number } {
  const { r, d } = termsOf(margin);
  const student = ratio * teacher;
  const both = student - gain * (1 - teacher);
  const plain = student - r * teacher;
  // both right: 1 - r; only the student: 1; only the teacher: -r
  const square = both * (1 - r) ** 2 + (student - both) + (teacher - both) * r ** 2;
  return { mean: plain + d, sd: Math.sqrt(Math.max(0, square - plain ** 2)) };
}
