// Texts that were seen before: near-duplicates, and texts most of whose long word n-grams occur in other texts.
import { distinctiveShingles, fnv, nearDuplicatePairs, plainText } from './similarity.ts';

export interface Leak {
  /** Index in the held-out texts. */
  held: number;
  /** Indices of the seen texts that give it away. */
  seen: Set<number>;
  kind: 'near-duplicate' | 'n-grams';
}

export interface LeakOptions {
  /** Jaccard similarity of character shingles from which a pair is a near-duplicate. */
  nearDuplicate: number;
  /** Share of a text's n-grams found elsewhere from which it counts as seen. */
  containment: number;
}

/** Words of an n-gram; of Chinese, Japanese and Korean, characters count as words. */
const N = 8;
/** Shorter texts have too few n-grams to tell; near-duplicates find them. */
const FEWEST = 6;

/** Held-out texts that the seen ones give away, each listed once. */
export function findLeaks(held: readonly string[], seen: readonly string[], options: LeakOptions): Leak[] {
  const leaks = new Map<number, Leak>();
  const add = (at: number, source: number, kind: Leak['kind']) => {
    const leak = leaks.get(at) ?? { held: at, seen: new Set(), kind };
    leaks.set(at, leak);
    leak.seen.add(source);
  };
  nearDuplicatePairs(
    distinctiveShingles([...held, ...seen]),
    { threshold: options.nearDuplicate },
    (i, j) => add(i, j - held.length, 'near-duplicate'),
    // only pairs of one held and one seen text are of interest, and i < j
    (i, j) => i >= held.length || j < held.length,
  );
  for (const { at, sources } of containedTexts(held, seen, options.containment)) {
    for (const source of sources) add(at, source, 'n-grams');
  }
  return [...leaks.values()].sort((a, b) => a.held - b.held);
}

function containedTexts(held: readonly string[], seen: readonly string[], containment: number) {
  const grams = held.map(wordGrams);
  const documents = new Map<number, number>();
  for (const set of grams) for (const gram of set) documents.set(gram, (documents.get(gram) ?? 0) + 1);
  // n-grams of a fifth of the texts belong to the prompt that they share
  const limit = Math.max(10, held.length / 5);
  const sources = new Map<number, number[]>();
  seen.forEach((text, i) => {
    for (const gram of wordGrams(text)) {
      if ((documents.get(gram) ?? Number.POSITIVE_INFINITY) > limit) continue;
      const known = sources.get(gram);
      if (known) known.push(i);
      else sources.set(gram, [i]);
    }
  });
  return grams.flatMap((set, at) => {
    const own = [...set].filter((gram) => documents.get(gram)! <= limit);
    const known = own.filter((gram) => sources.has(gram));
    const contained = own.length >= FEWEST && known.length >= containment * own.length;
    return contained ? [{ at, sources: new Set(known.flatMap((gram) => sources.get(gram)!)) }] : [];
  });
}

/** Rows of one n-gram beyond which it tells nothing about pairs. */
const MOST_ROWS = 50;

/** Calls `found(i, j)` where text i shares at least `containment` of its own long n-grams with text j. */
export function passagePairs(
  texts: readonly string[],
  containment: number,
  found: (i: number, j: number) => void,
): void {
  const grams = texts.map(wordGrams);
  const rows = new Map<number, number[]>();
  grams.forEach((set, i) => {
    for (const gram of set) {
      const known = rows.get(gram);
      if (known) known.push(i);
      else rows.set(gram, [i]);
    }
  });
  const limit = Math.max(10, texts.length / 5);
  grams.forEach((set, i) => {
    const shared = new Map<number, number>();
    let own = 0;
    for (const gram of set) {
      const others = rows.get(gram)!;
      if (others.length > limit) continue;
      own++;
      if (others.length > MOST_ROWS) continue;
      for (const j of others) if (j !== i) shared.set(j, (shared.get(j) ?? 0) + 1);
    }
    if (own < FEWEST) return;
    for (const [j, count] of shared) if (count >= containment * own) found(i, j);
  });
}

function wordGrams(text: string): Set<number> {
  const words = plainText(text).match(WORD) ?? [];
  const grams = new Set<number>();
  for (let at = 0; at + N <= words.length; at++) grams.add(fnv(words.slice(at, at + N).join(' ')));
  return grams;
}

const WORD =
  /[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]|(?:(?![\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}])[\p{L}\p{N}])+/gu;
