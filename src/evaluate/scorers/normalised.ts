// Scorer "normalised": the same words, whatever the articles, punctuation and spacing; for English and Chinese.
import type { Scorer } from './scorer.ts';

export const normalised: Scorer = {
  description: 'the same words, without articles, punctuation and spacing',
  // chosen by name: for most jobs punctuation within an answer carries meaning
  suits: () => false,
  prepare: () => (prediction, expected) => ({ score: bare(prediction) === bare(expected) ? 1 : 0 }),
};

/** SQuAD's normalisation (Rajpurkar et al. 2016), and for Chinese CMRC's: no punctuation, no spaces between characters. */
export function bare(text: string): string {
  const plain = text.normalize('NFKC').toLowerCase();
  const words = plain
    // punctuation, and the symbols of ASCII; other symbols (emoji, €) carry meaning
    .replace(/[\p{P}$+<=>^`|~]/gu, '')
    .replace(/(?<![\p{L}\p{M}\p{N}_])(?:a|an|the)(?![\p{L}\p{M}\p{N}_])/gu, ' ')
    .replace(/(?<=\p{Script=Han})\s+|\s+(?=\p{Script=Han})/gu, '')
    .replace(/\s+/g, ' ')
    .trim();
  // an answer that is nothing but articles and punctuation stays what it is: the option "A" is not "the"
  return words || plain.trim();
}
