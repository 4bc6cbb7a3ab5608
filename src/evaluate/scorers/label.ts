// Scorer "label": answers from a closed set, found in the data; an answer is mapped to the one label that it names.
import { normalise, type Scorer } from './scorer.ts';

/** What an answer is called that names no label, or several. */
export const NO_LABEL = '(none)';

export const label: Scorer = {
  description: 'the right one of a closed set of answers',
  suits: (expected) => {
    if (expected.length < 10 || expected.some((text) => text.length > 80 || text.trim().includes('\n'))) return false;
    const counts = new Map<string, number>();
    for (const text of expected) counts.set(normalise(text), (counts.get(normalise(text)) ?? 0) + 1);
    const known = expected.filter((text) => counts.get(normalise(text))! > 1).length;
    return counts.size <= 500 && known >= 0.9 * expected.length;
  },
  prepare: (expected) => {
    const find = labelFinder(expected);
    return (prediction, wanted) => {
      const want = find(wanted);
      // an expected answer that names no single label is compared as it is
      const right = want === NO_LABEL ? normalise(prediction) === normalise(wanted) : find(prediction) === want;
      return { score: right ? 1 : 0, label: { expected: want, predicted: find(prediction) } };
    };
  },
};

/**
 * Maps an answer to its label: the label itself; else the text between markers such as `[answer]C<eoa>`; else the only label
 * that the text names as whole words (a longer label hides those within it).
 */
export function labelFinder(expected: readonly string[]): (answer: string) => string {
  const full = [...new Set(expected.map(normalise))];
  const trim = frameOf(full);
  const labels = [...new Set(full.map(trim))].sort((a, b) => b.length - a.length);
  const known = new Set(labels);
  const patterns = labels.map((name) => ({ name, pattern: wordPattern(name) }));
  return (answer) => {
    const text = normalise(answer);
    const direct = [text, trim(text), marked(text)].find(
      (candidate) => candidate !== undefined && known.has(candidate),
    );
    if (direct !== undefined) return direct;
    let rest = marked(text) ?? text;
    const named = new Set<string>();
    for (const { name, pattern } of patterns) {
      const without = rest.replace(pattern, '\u0000');
      if (without !== rest) named.add(name);
      rest = without;
    }
    return named.size === 1 ? [...named][0] : NO_LABEL;
  };
}

/**
 * What stands around a label, taken off: text up to the last bracket or colon, and from the next opening bracket on, where
 * several of the expected answers have the same. So `answer: c` is label `c`, and so is `[answer]c<eoa>`.
 */
function frameOf(labels: readonly string[]): (text: string) => string {
  const starts = repeated(labels.map((text) => BEFORE.exec(text)?.[0] ?? ''));
  const ends = repeated(labels.map((text) => AFTER.exec(text)?.[0] ?? ''));
  return (text) => {
    const start = starts.find((frame) => text.startsWith(frame)) ?? '';
    const rest = text.slice(start.length);
    const end = ends.find((frame) => rest.endsWith(frame)) ?? '';
    return rest.slice(0, rest.length - end.length).trim();
  };
}

const BEFORE = /^.*[\]】>:：]\s*(?=\S)(?![^<]*>)/su;
const AFTER = /\s*[[【<][^\]】>]*[\]】>]$/u;

/** Texts that occur at least twice, the longest first. */
function repeated(texts: readonly string[]): string[] {
  const counts = new Map<string, number>();
  for (const text of texts) if (text) counts.set(text, (counts.get(text) ?? 0) + 1);
  return [...counts]
    .filter(([, count]) => count > 1)
    .map(([text]) => text)
    .sort((a, b) => b.length - a.length);
}

/** Text between `[marker]` and `<end>`, the form that LawBench asks for; the last one if there are several. */
function marked(text: string): string | undefined {
  const found = [...text.matchAll(/[[【][^\]】]{1,20}[\]】]\s*([^<[【]{1,200}?)\s*(?:<[^>]{1,10}>|$)/gu)].at(-1)?.[1];
  return found === undefined ? undefined : normalise(found);
}

function wordPattern(name: string): RegExp {
  const escaped = name.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
  // Chinese has no spaces between words, so only letters and digits of other scripts may not touch the label
  const touching = '[\\p{Script=Latin}\\p{Script=Cyrillic}\\p{Script=Greek}\\p{N}_]';
  const starts = new RegExp(`^${touching}`, 'u').test(name) ? `(?<!${touching})` : '';
  const ends = new RegExp(`${touching}$`, 'u').test(name) ? `(?!${touching})` : '';
  return new RegExp(`${starts}${escaped}${ends}`, 'gu');
}
