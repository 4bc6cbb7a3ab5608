// How many held-out items a verdict needs, asked before the run or after one that proved nothing.
import { type GuardOptions, guardedBound } from './guarded.ts';
import { groupPairs, means, type Pair } from './pairs.ts';

/**
 * Items below which even a faultless student cannot be proven: the least n with lost^n <= 1 - confidence, where `lost` is the
 * margin 0.95 (59 items), or 1 less an absolute one.
 */
export function fewestItems(lost: number, confidence: number): number {
  return Math.ceil(Math.log(1 - confidence) / Math.log(lost) - 1e-9);
}

/**
 * The least number of units (items or clusters) at which the guarded bound reaches `margin`, if further ones are like those
 * seen; Infinity when the student is not good enough for any number. Within 2%.
 */
export function requiredUnits(pairs: readonly Pair[], margin: number, options: GuardOptions): number {
  const most = 1_000_000;
  const cheap = { ...options, resamples: Math.min(2000, options.resamples) };
  const enough = (units: number) => guardedBound(pairs, { ...cheap, units }) >= margin;
  if (!(means(pairs).ratio > margin) || !enough(most)) return Number.POSITIVE_INFINITY;
  let low = 1;
  let high = Math.max(groupPairs(pairs).units, fewestItems(margin, options.confidence));
  while (!enough(high)) {
    low = high;
    high *= 2;
  }
  while (high > low * 1.02 && high - low > 1) {
    const middle = Math.round(Math.sqrt(low * high));
    if (middle <= low || middle >= high) break;
    if (enough(middle)) high = middle;
    else low = middle;
  }
  return Math.max(high, fewestItems(margin, options.confidence));
}
