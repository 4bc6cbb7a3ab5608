// Balance: how often each answer occurs where answers are labels, and which rows to leave out so that none drowns the rest.
import { sha256 } from '../base/hash.ts';
import { plainText } from '../base/similarity.ts';

export interface Balance {
  /** Answer -> rows, most frequent first; empty where answers are free text. */
  counts: Record<string, number>;
  /** Rows of the most and of the median answer. */
  most: number;
  median: number;
}

/** Answers are labels when they are short and each occurs five times on average. */
export function balanceOf(answers: readonly string[]): Balance {
  const counts = new Map<string, number>();
  for (const answer of answers) {
    const key = label(answer);
    counts.set(key, (counts.get(key) ?? 0) + 1);
  }
  const short = [...counts.keys()].every((answer) => answer.length <= 64);
  if (!short || counts.size * 5 > answers.length) return { counts: {}, most: 0, median: 0 };
  const sorted = [...counts].sort((a, b) => b[1] - a[1]);
  return { counts: Object.fromEntries(sorted), most: sorted[0][1], median: sorted[sorted.length >> 1][1] };
}

/**
 * Rows (by index) to leave out so that no answer has more than `ratio` times the rows of the median one. Which ones go
 * depends on their content only, not on their order.
 */
export function overBalance(answers: readonly string[], contents: readonly string[], ratio: number): number[] {
  const { counts, median } = balanceOf(answers);
  const limit = Math.max(1, Math.floor(median * ratio));
  return Object.entries(counts).flatMap(([answer, count]) => {
    if (count <= limit) return [];
    const rows = answers.flatMap((one, i) => (label(one) === answer ? [{ i, key: sha256(contents[i]) }] : []));
    return rows
      .sort((a, b) => (a.key < b.key ? -1 : 1))
      .slice(limit)
      .map(({ i }) => i);
  });
}

function label(answer: string): string {
  return plainText(answer) || answer.trim();
}
