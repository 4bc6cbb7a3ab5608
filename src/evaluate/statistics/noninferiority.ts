// Non-inferiority: is the student at least as good as the teacher but for a margin, relative (95% of it) or absolute (2 points)?
import { Random } from '../../base/random.ts';
import { type BootstrapOptions, percentileBound } from './bootstrap.ts';
import { gamma } from './gamma.ts';
import { groupPairs, type Pair } from './pairs.ts';

export type Margin =
  /** mean(student) >= value * mean(teacher). */
  | { kind: 'relative'; value: number }
  /** mean(student) >= mean(teacher) - value. */
  | { kind: 'absolute'; value: number };

export interface NonInferiority {
  /** Mean of student - teacher less what the margin allows; above 0 is within the margin. */
  excess: number;
  /** One-sided lower bound of the excess; above 0 the hypothesis "worse than the margin" is rejected. */
  lower: number;
  /** Of that hypothesis. */
  p: number;
}

/**
 * The guarded bootstrap (see guarded.ts) of student - r * teacher + d, whose worst possible value is -r + d.
 * p is the share of weightings in which the excess is not above 0.
 */
export function nonInferiority(
  pairs: readonly Pair[],
  margin: Margin,
  options: BootstrapOptions & { confidence: number },
): NonInferiority {
  const [r, d] = margin.kind === 'relative' ? [margin.value, 0] : [1, margin.value];
  const { groups, units, largest } = groupPairs(pairs);
  const random = new Random(options.seed);
  const draws = Float64Array.from({ length: options.resamples }, () => {
    const spare = gamma(random, 1);
    let sum = -spare * r * largest;
    let weight = spare;
    for (const group of groups) {
      const w = gamma(random, group.count);
      sum += w * (group.student - r * group.teacher);
      weight += w;
    }
    // per unit of weight; d is per item, and units of several items weigh as their mean size
    return sum / weight + (d * pairs.length) / units;
  }).sort();
  const mean = pairs.reduce((sum, pair) => sum + pair.student - r * pair.teacher, 0) / pairs.length + d;
  const items = pairs.length / units;
  const notAbove = draws.reduce((sum, value) => sum + (value <= 0 ? 1 : 0), 0);
  return {
    excess: mean,
    lower: percentileBound(draws, options.confidence) / items,
    p: (notAbove + 1) / (draws.length + 1),
  };
}
