// Scorer "chrf": character n-grams of one to six, as F-score with recall counted twice.
import type { Scorer } from './scorer.ts';

const ORDER = 6;
const BETA = 2;
/** White space for Python but not for JavaScript. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: they are meant
const PYTHON_SPACE = /[\x1c-\x1f\x85]/;

export const chrf: Scorer = {
  description: 'chrF: F2 of character n-grams up to six',
  suits: () => false,
  prepare: () => (prediction, expected) => ({ score: chrfScore(prediction, expected) }),
};

/** 0 to 1. Popović, "chrF: character n-gram F-score", 2015; equal to sacreBLEU's sentence chrF2 / 100. */
export function chrfScore(prediction: string, expected: string): number {
  const [given, wanted] = [characters(prediction), characters(expected)];
  let precision = 0;
  let recall = 0;
  let orders = 0;
  for (let n = 1; n <= ORDER; n++) {
    const [a, b] = [ngrams(given, n), ngrams(wanted, n)];
    const [left, right] = [Math.max(0, given.length - n + 1), Math.max(0, wanted.length - n + 1)];
    // an order that one of the two is too short for does not count
    if (left === 0 || right === 0) continue;
    let common = 0;
    for (const [gram, count] of a) common += Math.min(count, b.get(gram) ?? 0);
    precision += common / left;
    recall += common / right;
    orders++;
  }
  if (orders === 0 || precision + recall === 0) return 0;
  const [p, r] = [precision / orders, recall / orders];
  return ((1 + BETA ** 2) * p * r) / (BETA ** 2 * p + r);
}

/** Without what Python, and so sacreBLEU, takes for white space. */
function characters(text: string): string[] {
  return [...text].filter((one) => one === '\ufeff' || (one.trim() !== '' && !PYTHON_SPACE.test(one)));
}

function ngrams(text: readonly string[], n: number): Map<string, number> {
  const counts = new Map<string, number>();
  for (let i = 0; i + n <= text.length; i++) {
    const gram = text.slice(i, i + n).join('');
    counts.set(gram, (counts.get(gram) ?? 0) + 1);
  }
  return counts;
}
