// Bias-corrected and accelerated bootstrap: the percentile bound moved by the skew of the statistic.
// Efron, "Better bootstrap confidence intervals", 1987; the same choices as scipy.stats.bootstrap(method='BCa').
import { percentileBound, quantile } from './bootstrap.ts';
import { normalCdf, normalQuantile } from './normal.ts';
import { groupPairs, type Pair } from './pairs.ts';

/** One-sided lower bound of mean(student)/mean(teacher) from the ascending ratios of `bootstrapRatios`. */
export function bcaBound(pairs: readonly Pair[], sorted: Float64Array, confidence: number): number {
  const { groups } = groupPairs(pairs);
  const total = groups.reduce(
    (sum, { student, teacher, count }) => ({
      s: sum.s + student * count,
      t: sum.t + teacher * count,
      n: sum.n + count,
    }),
    { s: 0, t: 0, n: 0 },
  );
  const ratio = total.s / total.t;
  const leftOut = groups.map(({ student, teacher, count }) => ({
    value: (total.s - student) / (total.t - teacher),
    count,
  }));
  const mean = leftOut.reduce((sum, { value, count }) => sum + value * count, 0) / total.n;
  const moment = (power: number) => leftOut.reduce((sum, { value, count }) => sum + count * (mean - value) ** power, 0);
  const below = sorted.reduce((sum, value) => sum + (value < ratio ? 1 : value === ratio ? 0.5 : 0), 0);
  const bias = normalQuantile(below / sorted.length);
  // without any spread there is nothing to correct
  if (!(moment(2) > 0) || !Number.isFinite(bias)) return percentileBound(sorted, confidence);
  const acceleration = moment(3) / (6 * moment(2) ** 1.5);
  const shifted = bias + normalQuantile(1 - confidence);
  return quantile(sorted, normalCdf(bias + shifted / (1 - acceleration * shifted)));
}
