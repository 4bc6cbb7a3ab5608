import { expect, test } from 'vitest';
import { Random } from '../../base/random.ts';
import { confidenceOf } from '../../chat/confidence.ts';
import { type Answered, cascadeOf } from './cascade.ts';

const OPTIONS = { resamples: 400, seed: 1 };

/** Answers whose log probabilities tell, with some noise, whether they are right; `hard` is the share of doubtful ones. */
function answers(n: number, seed: number, hard = 0.3): Answered[] {
  const random = new Random(seed);
  return Array.from({ length: n }, () => {
    const doubtful = random.next() < hard;
    const total = -(doubtful ? 1 + random.next() : 0.2 * random.next());
    const student = random.next() < (doubtful ? 0.4 : 0.99) ? 1 : 0;
    return { text: '"x"', student, teacher: 1, signals: { mean: total / 3, least: total / 2, total, complete: true } };
  });
}

test('the student keeps what it is sure of, and the pair keeps the quality that the student alone does not', () => {
  const { point, curve, brier, calibration, reason } = cascadeOf(answers(400, 1), answers(1000, 2), OPTIONS);
  expect(reason).toBeUndefined();
  const alone = curve.at(-1)!;
  expect(alone).toMatchObject({ local: 1 });
  expect(alone.ratio).toBeLessThan(0.9);
  expect(point.local).toBeGreaterThan(0.6);
  expect(point.lower95).toBeGreaterThan(0.95);
  expect(curve[0]).toMatchObject({ threshold: null, local: 0, ratio: 1 });
  expect(brier).toBeLessThan(0.13);
  const sure = { mean: -0.01, least: -0.02, total: -0.03, complete: true };
  expect(confidenceOf(sure, '"x"', calibration)).toBeGreaterThan(0.9);
  expect(confidenceOf({ ...sure, complete: false }, '"x"', calibration)).toBe(0);
  expect(confidenceOf(sure, 'no json', calibration)).toBe(0);
});

test('too few calibration items: the teacher answers everything, with the number that would do', () => {
  const { point, reason } = cascadeOf(answers(40, 3), answers(200, 4), OPTIONS);
  expect(point).toMatchObject({ threshold: null, local: 0, ratio: 1 });
  expect(reason).toMatch(/40 items; at least \d+/);
});

test('without any calibration items the file still has numbers, and the teacher answers everything', () => {
  const { calibration, point, reason } = cascadeOf([], answers(100, 8), OPTIONS);
  expect(calibration).toEqual({ bias: 0, weights: [0, 0, 0], json: false });
  expect(point).toMatchObject({ threshold: null, local: 0, ratio: 1 });
  expect(reason).toMatch(/has 0 items/);
});

test('a student that is never sure hands over nearly everything', () => {
  const { point } = cascadeOf(answers(300, 5, 1), answers(300, 6, 1), OPTIONS);
  expect(point.local).toBeLessThan(0.08);
  expect(point.ratio).toBeGreaterThan(0.95);
});

test('over many calibrations the quality falls below the margin in at most one of twenty', () => {
  const large = answers(4000, 99);
  const failures = Array.from({ length: 60 }, (_, i) => {
    const { point } = cascadeOf(answers(150, 100 + i), large, { resamples: 200, seed: i });
    return Number(point.ratio < 0.95);
  });
  // 60 trials at 5%: more than 7 failures has a probability below 1%
  expect(failures.reduce((a, b) => a + b, 0)).toBeLessThanOrEqual(7);
});

test('where only the agreement tells right from wrong, it is what the confidence follows', () => {
  const random = new Random(7);
  const items = (n: number): Answered[] =>
    Array.from({ length: n }, () => {
      const agreement = random.below(4) / 3;
      const student = random.next() < agreement ? 1 : 0;
      return { text: 'x', student, teacher: 1, signals: { mean: -1, least: -1, total: -1, complete: true, agreement } };
    });
  const { calibration, brier } = cascadeOf(items(400), items(400), OPTIONS);
  expect(calibration.weights).toHaveLength(4);
  expect(calibration.weights[3]).toBeGreaterThan(1);
  expect(brier).toBeLessThan(0.2);
});
