// Scorer "regex": the expected answer is a pattern that the answer must match somewhere (`^...$` for all of it).
import { SafePattern } from './pattern.ts';
import type { Scorer } from './scorer.ts';

export const regex: Scorer = {
  description: 'the answer matches the expected pattern',
  suits: () => false,
  prepare: () => {
    const known = new Map<string, SafePattern>();
    return (prediction, expected) => {
      const pattern = known.get(expected) ?? new SafePattern(expected);
      known.set(expected, pattern);
      return { score: pattern.test(prediction.trim()) ? 1 : 0 };
    };
  },
};
