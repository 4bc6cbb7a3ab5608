// Where to hand over to the teacher: quality against the share answered locally, and the threshold that keeps the quality.
import { CONFIDENCE, MARGIN } from '../quality.ts';
import { guardedBound } from '../statistics/guarded.ts';
import { means, type Pair } from '../statistics/pairs.ts';

export interface Judged extends Pair {
  /** That the student's answer is as good as the teacher's. */
  confidence: number;
}

export interface CascadePoint {
  /** The student answers from this confidence on; null: never. */
  threshold: number | null;
  /** Share that the student answers. */
  local: number;
  /** Mean score of the cascade, its ratio to the teacher's, and the ratio's one-sided 95% lower bound. */
  quality: number;
  ratio: number;
  lower95: number;
  n: number;
}

export interface CascadeOptions {
  resamples: number;
  seed: number;
}

export function pointAt(items: readonly Judged[], threshold: number | null, options: CascadeOptions): CascadePoint {
  const local = (item: Judged) => threshold !== null && item.confidence >= threshold;
  const pairs = items.map((item): Pair => ({ ...item, student: local(item) ? item.student : item.teacher }));
  const { student, ratio } = means(pairs);
  return {
    threshold,
    local: items.filter(local).length / Math.max(1, items.length),
    quality: pairs.length > 0 ? student : 0,
    ratio: Number.isNaN(ratio) ? 0 : ratio,
    lower95: pairs.length > 0 ? guardedBound(pairs, { ...options, confidence: CONFIDENCE }) : 0,
    n: pairs.length,
  };
}

/**
 * The lowest threshold that keeps the ratio's bound at the margin. Thresholds are tried from the strictest down and the first
 * that fails ends the search, so that trying many costs no confidence (fixed-sequence testing; Angelopoulos et al., 2021:
 * "Learn then Test"). Null when not even handing over everything shows it: too few items.
 */
export function chooseThreshold(items: readonly Judged[], options: CascadeOptions): number | null {
  let chosen: number | null = null;
  for (const threshold of thresholdsOf(items)) {
    if (pointAt(items, threshold, options).lower95 < MARGIN) break;
    chosen = threshold;
  }
  return chosen;
}

const MOST_STEPS = 40;

/** Confidences seen, strictest first, at most 40 of them. */
function thresholdsOf(items: readonly Judged[]): number[] {
  const all = [...new Set(items.map(({ confidence }) => confidence).filter((value) => value > 0))].sort(
    (a, b) => b - a,
  );
  const step = Math.max(1, Math.ceil(all.length / MOST_STEPS));
  return all.filter((_, i) => (i + 1) % step === 0 || i === all.length - 1);
}

const CURVE_POINTS = 10;

/** From the teacher alone to the student alone, in tenths of the items. */
export function curveOf(items: readonly Judged[], options: CascadeOptions): CascadePoint[] {
  const sorted = items.map(({ confidence }) => confidence).sort((a, b) => b - a);
  const thresholds = Array.from({ length: CURVE_POINTS }, (_, i) => {
    const count = Math.ceil(((i + 1) * sorted.length) / CURVE_POINTS);
    return sorted[count - 1];
  });
  return [null, ...new Set(thresholds)].map((threshold) => pointAt(items, threshold, options));
}

/** Mean of the squared error of the confidences as predictions of the worth (Brier, 1950). */
export function brier(items: readonly Judged[]): number {
  const error = ({ confidence, student, teacher }: Judged) => (confidence - worthOf(student, teacher)) ** 2;
  return items.reduce((sum, item) => sum + error(item), 0) / Math.max(1, items.length);
}

/** The student's score as a share of the teacher's, 0 to 1; where the teacher has none there is nothing to lose. */
export function worthOf(student: number, teacher: number): number {
  return teacher > 0 ? Math.min(1, student / teacher) : 1;
}
