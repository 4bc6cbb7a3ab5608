// Scorer "choice": the right option is named and no other, LawBench's rule for its choice and classification tasks.
import type { Scorer } from './scorer.ts';

export const choice: Scorer = {
  description: 'the right option is in the answer and no other option is',
  // only where a task asks for it: options like "A" stand in many texts
  suits: () => false,
  prepare: (expected, { choices }) => {
    const options = choices ?? [...new Set(expected)];
    return (prediction, wanted) => {
      const named = options.filter((option) => prediction.includes(option));
      return { score: named.length === 1 && named[0] === wanted ? 1 : 0 };
    };
  },
};
