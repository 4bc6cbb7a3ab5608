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
  return text
    .normalize('NFKC')
    .toLowerCase()
    .replace(/[\p{P}\p{S}]/gu, '')
    .replace(/\b(?:a|an|the)\b/g, ' ')
    .replace(/(?<=\p{Script=Han})\s+|\s+(?=\p{Script=Han})/gu, '')
    .replace(/\s+/g, ' ')
    .trim();
}
