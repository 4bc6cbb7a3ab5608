// Scorer "numeric": the last number in the answer against the one wanted, within a tolerance.
import type { Scorer } from './scorer.ts';

export const numeric: Scorer = {
  description: 'the same number, within the tolerance',
  // a closed set of small numbers is better scored as labels; this is chosen by name
  suits: () => false,
  prepare:
    (_expected, { tolerance = { absolute: 1e-9, relative: 0 } }) =>
    (prediction, expected) => {
      const [given, wanted] = [lastNumber(prediction), lastNumber(expected)];
      if (given === undefined || wanted === undefined) return { score: 0 };
      const room = Math.max(tolerance.absolute, tolerance.relative * Math.abs(wanted));
      // 1.05 - 1 is a little more than 0.05 in binary
      const rounding = 4 * Number.EPSILON * Math.max(Math.abs(given), Math.abs(wanted));
      return { score: Math.abs(given - wanted) <= room + rounding ? 1 : 0 };
    },
};

/** The last number of a text: `1,234.5`, `.5`, `-3e4`, `-$5`, `12%` (as 12), full-width digits; undefined when there is none. */
export function lastNumber(text: string): number | undefined {
  const plain = text.normalize('NFKC').replace(/[−–]/g, '-');
  const found = plain
    .match(/(?<![\d.])-?[$€£¥]?(?:(?:\d{1,3}(?:,\d{3})+|\d+)(?:\.\d+)?|\.\d+)(?:e[+-]?\d+)?/gi)
    ?.at(-1);
  return found === undefined ? undefined : Number(found.replace(/[,$€£¥]/g, ''));
}
