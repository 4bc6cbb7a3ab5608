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

/** The words around the label that all expected answers share, up to a bracket or colon: `answer: c` is label `c`. */
function frameOf(labels: readonly string[]): (text: string) => string {
  if (labels.length < 2) return (text) => text;
  const shared = (texts: readonly string[]) => {
    let length = 0;
    while (length < texts[0].length && texts.every((text) => text[length] === texts[0][length])) length++;
    return texts[0].slice(0, length);
  };
  const before = /^.*[\]】>:：]\s*/su.exec(shared(labels))?.[0] ?? '';
  const reversed = shared(labels.map((text) => [...text].reverse().join('')));
  const after = [...(/^.*[[【<]/su.exec(reversed)?.[0] ?? '')].reverse().join('');
  return (text) => {
    const start = text.startsWith(before) ? before.length : 0;
    const end =
      after && text.endsWith(after) && text.length - after.length >= start ? text.length - after.length : text.length;
    return text.slice(start, end).trim();
  };
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
