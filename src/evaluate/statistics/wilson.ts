// Wilson's score interval for a share; also used, as is common, for means of scores between 0 and 1.
import { normalQuantile } from './normal.ts';

/** Two-sided interval. Wilson, "Probable inference, the law of succession, and statistical inference", 1927. */
export function wilson(successes: number, n: number, confidence = 0.95): { lower: number; upper: number } {
  if (n === 0) return { lower: 0, upper: 1 };
  const z = normalQuantile(0.5 + confidence / 2);
  const p = successes / n;
  const centre = (p + (z * z) / (2 * n)) / (1 + (z * z) / n);
  const half = (z / (1 + (z * z) / n)) * Math.sqrt((p * (1 - p)) / n + (z * z) / (4 * n * n));
  return { lower: Math.max(0, centre - half), upper: Math.min(1, centre + half) };
}
