// The bound that the verdict rests on: a paired bootstrap that allows for one more item, the worst that could come.
import { Random } from '../../base/random.ts';
import type { BootstrapOptions } from './bootstrap.ts';
import { percentileBound } from './bootstrap.ts';
import { gamma } from './gamma.ts';
import { groupPairs, type Pair } from './pairs.ts';

export interface GuardOptions extends BootstrapOptions {
  confidence: number;
  /** Bound for as many units as this, were they like those seen; for planning. Default: as many as there are. */
  units?: number;
}

/**
 * One-sided lower bound of mean(student) / mean(teacher).
 *
 * Items get random weights (a Bayesian bootstrap: Dirichlet, one share each), and so does one invented item that the teacher
 * gets right and the student wrong. The percentile bootstrap says "certain" of ten faultless answers and is too bold for few
 * or nearly faultless items; this one is not: for right/wrong scores against a teacher that is always right it is exactly the
 * Clopper-Pearson bound, and in general Gaffke's bound for means of bounded scores ("Three test statistics for a nonparametric
 * one-sided hypothesis on the mean of a nonnegative variable", 2005; Learned-Miller and Thomas, 2019), on student - r * teacher.
 * Its error rate is measured in the simulation test.
 */
export function guardedBound(pairs: readonly Pair[], options: GuardOptions): number {
  const { groups, units, largest } = groupPairs(pairs);
  if (units === 0) return Number.NaN;
  const stretch = (options.units ?? units) / units;
  const random = new Random(options.seed);
  const ratios = Float64Array.from({ length: options.resamples }, () => {
    let s = 0;
    let t = gamma(random, 1) * largest;
    for (const group of groups) {
      const weight = gamma(random, group.count * stretch);
      s += weight * group.student;
      t += weight * group.teacher;
    }
    return s / t;
  }).sort();
  return percentileBound(ratios, options.confidence);
}
