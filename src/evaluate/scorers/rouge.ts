// Scorer "rouge-l": the longest common subsequence of words (Chinese: characters), as F-measure.
import type { Scorer } from './scorer.ts';

export const rougeL: Scorer = {
  description: 'ROUGE-L: F-measure of the longest common subsequence of words',
  suits: () => false,
  prepare: () => (prediction, expected) => ({ score: rougeLScore(prediction, expected) }),
};

/** Lin, "ROUGE: a package for automatic evaluation of summaries", 2004; equal to Google's rouge_score for English. */
export function rougeLScore(prediction: string, expected: string): number {
  const [given, wanted] = [tokens(prediction), tokens(expected)];
  if (given.length === 0 || wanted.length === 0) return 0;
  const common = longestCommon(given, wanted);
  const [precision, recall] = [common / given.length, common / wanted.length];
  return common === 0 ? 0 : (2 * precision * recall) / (precision + recall);
}

/** As rouge_score splits Latin script (lower case, letters and digits of ASCII); a character of other scripts is a token. */
function tokens(text: string): string[] {
  return text.toLowerCase().match(/[a-z0-9]+|(?!\p{Script=Latin})[^\P{L}\p{ASCII}]/gu) ?? [];
}

function longestCommon(a: readonly string[], b: readonly string[]): number {
  const row = new Uint32Array(b.length + 1);
  for (const token of a) {
    let diagonal = 0;
    for (let j = 1; j <= b.length; j++) {
      const above = row[j];
      row[j] = token === b[j - 1] ? diagonal + 1 : Math.max(above, row[j - 1]);
      diagonal = above;
    }
  }
  return row[b.length];
}
