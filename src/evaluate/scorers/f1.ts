// Scorer "f1": answers that are sets of labels, by the harmonic mean of precision and recall.
import { canonicalJson } from '../../base/hash.ts';
import { normalise, type Scorer } from './scorer.ts';

export const f1: Scorer = {
  description: 'F1 of the labels named, of answers that are lists',
  suits: () => false,
  prepare: () => (prediction, expected) => {
    const [given, wanted] = [labelsOf(prediction), labelsOf(expected)];
    if (given.size === 0 || wanted.size === 0) return { score: given.size === wanted.size ? 1 : 0 };
    const common = [...given].filter((label) => wanted.has(label)).length;
    return { score: (2 * common) / (given.size + wanted.size) };
  },
};

/** A JSON list, or labels between commas, semicolons, Chinese list marks, line breaks or bullets. */
function labelsOf(text: string): Set<string> {
  const parts = fromJson(text) ?? text.split(/(?:^|\s)[-*•]\s|[,;，；、\n]/);
  return new Set(parts.map(normalise).filter((part) => part !== '' && part !== '[]'));
}

function fromJson(text: string): string[] | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return Array.isArray(value) ? value.map((one) => (typeof one === 'string' ? one : canonicalJson(one))) : undefined;
  } catch {
    return undefined;
  }
}
