// The statistics against SciPy and statsmodels (test/reference/make_statistics.py).
import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../../base/random.ts';
import { bcaBound } from './bca.ts';
import { betaCdf } from './binomial.ts';
import { bootstrapRatios, percentileBound, quantile } from './bootstrap.ts';
import { gamma } from './gamma.ts';
import { guardedBound } from './guarded.ts';
import { holm } from './holm.ts';
import { mcnemar } from './mcnemar.ts';
import { nonInferiority } from './noninferiority.ts';
import { normalCdf, normalQuantile } from './normal.ts';
import type { Pair } from './pairs.ts';
import { fewestItems, requiredUnits } from './required.ts';
import { wilson } from './wilson.ts';

interface Reference {
  bootstrap: { name: string; student: number[]; teacher: number[]; percentile: number; BCa: number }[];
  wilson: { successes: number; n: number; confidence: number; lower: number; upper: number }[];
  clopper: { successes: number; n: number; lower: number }[];
  normal: { x: number[]; cdf: number[]; p: number[]; quantile: number[] };
  mcnemar: { b: number; c: number; two_sided: number; student_worse: number }[];
  holm: { p: number[]; adjusted: number[] }[];
  beta: { a: number; b: number; x: number; cdf: number }[];
}
const file = new URL('../../../test/reference/statistics.json', import.meta.url);
const reference = JSON.parse(readFileSync(file, 'utf8')) as Reference;

const against = (right: number, n: number): Pair[] =>
  Array.from({ length: n }, (_, i) => ({ student: i < right ? 1 : 0, teacher: 1 }));
const guard = { resamples: 20_000, seed: 3, confidence: 0.95 };

test.each(reference.bootstrap)('paired bootstrap, $name: percentile and BCa as SciPy', (row) => {
  const pairs = row.student.map((student, i) => ({ student, teacher: row.teacher[i] }));
  const ratios = bootstrapRatios(pairs, { resamples: 100_000, seed: 1 });
  // two samples of resamples differ by about a third of a percent of the spread; the scores are coarse
  expect(Math.abs(percentileBound(ratios, 0.95) - row.percentile)).toBeLessThan(0.0015);
  expect(Math.abs(bcaBound(pairs, ratios, 0.95) - row.BCa)).toBeLessThan(0.0035);
});

test.each(reference.wilson)('Wilson $successes of $n', ({ successes, n, confidence, lower, upper }) => {
  const interval = wilson(successes, n, confidence);
  expect(interval.lower).toBeCloseTo(lower, 12);
  expect(interval.upper).toBeCloseTo(upper, 12);
});

test.each(reference.clopper)(
  'the guarded bound of $successes right of $n is Clopper-Pearson',
  ({ successes, n, lower }) => {
    expect(Math.abs(guardedBound(against(successes, n), guard) - lower)).toBeLessThan(0.04 / Math.sqrt(n));
  },
);

test('the normal distribution', () => {
  const { x, cdf, p, quantile: q } = reference.normal;
  x.forEach((value, i) => {
    expect(Math.abs(normalCdf(value) - cdf[i])).toBeLessThanOrEqual(Math.min(1e-14, 1e-7 * cdf[i]) + 1e-300);
  });
  p.forEach((value, i) => {
    expect(normalQuantile(value)).toBeCloseTo(q[i], 7);
  });
  expect([0, 1].map(normalQuantile)).toEqual([Number.NEGATIVE_INFINITY, Number.POSITIVE_INFINITY]);
});

test.each(reference.beta)('beta($a, $b) at $x', ({ a, b, x, cdf }) => expect(betaCdf(x, a, b)).toBeCloseTo(cdf, 11));

test.each(reference.mcnemar)('exact McNemar $b to $c', ({ b, c, two_sided, student_worse }) => {
  const pairs = [
    ...Array.from({ length: b }, () => ({ student: 1, teacher: 0 })),
    ...Array.from({ length: c }, () => ({ student: 0, teacher: 1 })),
    { student: 1, teacher: 1 },
  ];
  const result = mcnemar(pairs);
  expect(result).toMatchObject({ studentOnly: b, teacherOnly: c });
  expect(result.twoSided).toBeCloseTo(two_sided, 10);
  expect(result.studentWorse).toBeCloseTo(student_worse, 10);
});

test.each(reference.holm)('Holm of $p', ({ p, adjusted }) => {
  holm(p).forEach((value, i) => {
    expect(value).toBeCloseTo(adjusted[i], 12);
  });
});

test('quantile interpolates as numpy does', () => {
  for (const [share, value] of [
    [0, 1],
    [0.1, 1.3],
    [0.5, 3],
    [0.9, 6.8],
    [1, 8],
  ]) {
    expect(quantile([1, 2, 4, 8], share)).toBeCloseTo(value, 12);
  }
});

test('gamma draws have the mean and variance of their shape', () => {
  const random = new Random(4);
  for (const shape of [0.3, 1, 2.5, 40]) {
    const draws = Array.from({ length: 40_000 }, () => gamma(random, shape));
    const mean = draws.reduce((a, b) => a + b, 0) / draws.length;
    const variance = draws.reduce((sum, x) => sum + (x - mean) ** 2, 0) / draws.length;
    expect(Math.abs(mean / shape - 1)).toBeLessThan(0.04);
    expect(Math.abs(variance / shape - 1)).toBeLessThan(0.08);
  }
});

describe('how many items', () => {
  test('59 faultless ones are the least, and 58 are too few', () => {
    expect(fewestItems(0.95, 0.95)).toBe(59);
    expect(guardedBound(against(59, 59), guard)).toBeGreaterThan(0.949);
    expect(guardedBound(against(56, 56), guard)).toBeLessThan(0.95);
  });

  test('for 98 right of 100 about 180; for 94 of 100 no number is enough', () => {
    // the exact binomial bound at 98% right passes 0.95 first at n between 150 and 250
    const needed = requiredUnits(against(98, 100), 0.95, guard);
    expect(needed).toBeGreaterThan(150);
    expect(needed).toBeLessThan(250);
    expect(requiredUnits(against(94, 100), 0.95, guard)).toBe(Number.POSITIVE_INFINITY);
  });
});

describe('clusters', () => {
  test('items of one source count as one unit: copying every item ten times proves nothing more', () => {
    const once = against(97, 100);
    const copied = once.flatMap((pair, i) => Array.from({ length: 10 }, () => ({ ...pair, cluster: `${i}` })));
    const naive = copied.map(({ student, teacher }) => ({ student, teacher }));
    const bound = guardedBound(once, guard);
    expect(Math.abs(guardedBound(copied, guard) - bound)).toBeLessThan(0.002);
    expect(guardedBound(naive, guard)).toBeGreaterThan(bound + 0.02);
  });
});

describe('non-inferiority', () => {
  const pairs = reference.bootstrap[0].student.map((student, i) => ({
    student,
    teacher: reference.bootstrap[0].teacher[i],
  }));

  test('a relative margin is passed exactly where the guarded bound of the ratio is', () => {
    const bound = guardedBound(pairs, guard);
    for (const offset of [-0.01, 0.01]) {
      const { lower, p } = nonInferiority(pairs, { kind: 'relative', value: bound + offset }, guard);
      expect(lower > 0).toBe(offset < 0);
      expect(p < 0.05).toBe(offset < 0);
    }
  });

  test('an absolute margin of d allows d points, with clusters of items too', () => {
    const { excess } = nonInferiority(pairs, { kind: 'absolute', value: 0.1 }, guard);
    const mean = pairs.reduce((sum, pair) => sum + pair.student - pair.teacher, 0) / pairs.length;
    expect(excess).toBeCloseTo(mean + 0.1, 12);
    const single = nonInferiority(pairs, { kind: 'absolute', value: 0.1 }, guard).lower;
    const doubled = pairs.flatMap((pair, i) => [0, 1].map(() => ({ ...pair, cluster: `${i}` })));
    expect(nonInferiority(doubled, { kind: 'absolute', value: 0.1 }, guard).lower).toBeCloseTo(single, 2);
  });
});
