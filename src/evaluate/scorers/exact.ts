// Scorer "exact": the same text after normalisation.
import { normalise, type Scorer } from './scorer.ts';

export const exact: Scorer = {
  description: 'the same text, but for case, width, white space and closing punctuation',
  suits: () => true,
  prepare: () => (prediction, expected) => ({ score: normalise(prediction) === normalise(expected) ? 1 : 0 }),
};
