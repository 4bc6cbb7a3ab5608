// Paired bootstrap of the ratio of means: resample items with replacement, student and teacher together.
// Efron and Tibshirani, "An Introduction to the Bootstrap", 1993, ch. 13; checked against scipy.stats.bootstrap.
import { Random } from '../../base/random.ts';
import { groupPairs, type Pair } from './pairs.ts';

export interface BootstrapOptions {
  resamples: number;
  seed: number;
}

/** Ratios student/teacher of the resamples, ascending; a resample whose teacher has no score counts as ratio 0. */
export function bootstrapRatios(pairs: readonly Pair[], options: BootstrapOptions): Float64Array {
  const { groups, units } = groupPairs(pairs);
  const member = new Uint32Array(units);
  let at = 0;
  groups.forEach((group, g) => {
    member.fill(g, at, at + group.count);
    at += group.count;
  });
  const student = Float64Array.from(groups, (group) => group.student);
  const teacher = Float64Array.from(groups, (group) => group.teacher);
  const random = new Random(options.seed);
  return Float64Array.from({ length: options.resamples }, () => {
    let s = 0;
    let t = 0;
    for (let i = 0; i < units; i++) {
      const group = member[random.below(units)];
      s += student[group];
      t += teacher[group];
    }
    return t > 0 ? s / t : 0;
  }).sort();
}

/** Quantile with linear interpolation (numpy's default) of ascending values. */
export function quantile(sorted: ArrayLike<number>, share: number): number {
  const position = (sorted.length - 1) * Math.min(1, Math.max(0, share));
  const below = Math.floor(position);
  const above = Math.min(sorted.length - 1, below + 1);
  return sorted[below] + (position - below) * (sorted[above] - sorted[below]);
}

/** One-sided lower bound by the percentile method. `confidence` as 0.95. */
export function percentileBound(sorted: ArrayLike<number>, confidence: number): number {
  return quantile(sorted, 1 - confidence);
}
