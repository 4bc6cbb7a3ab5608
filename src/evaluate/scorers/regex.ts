// Scorer "regex": the expected answer is a pattern that the answer must match somewhere (`^...$` for all of it).
import { CupelError } from '../../base/errors.ts';
import { SafePattern } from './pattern.ts';
import type { Scorer } from './scorer.ts';

export const regex: Scorer = {
  description: 'the answer matches the expected pattern',
  suits: () => false,
  // all of them at once, so that a bad one is found before anything is asked
  prepare: (all) => {
    const known = new Map(all.map((expected) => [expected, patternOf(expected)]));
    return (prediction, expected) => {
      const pattern = known.get(expected) ?? patternOf(expected);
      known.set(expected, pattern);
      return { score: pattern.test(prediction.trim()) ? 1 : 0 };
    };
  },
};

function patternOf(text: string): SafePattern {
  try {
    return new SafePattern(text);
  } catch (cause) {
    if (!(cause instanceof CupelError)) throw cause;
    const { message, remedy, exitCode } = cause;
    throw new CupelError(`the right answer ${JSON.stringify(text)} is ${message}`, { remedy, exitCode, cause });
  }
}
