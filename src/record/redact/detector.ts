// What a kind of secret must tell: where it is in a text, when two spellings mean the same, and what stands in for it.
import type { Pseudonyms } from './pseudonym.ts';

export interface Found {
  /** UTF-16 positions; `end` is exclusive. */
  start: number;
  end: number;
  /** The same for all spellings of one secret, e.g. a phone number in E.164. */
  canonical: string;
}

export interface Detector {
  /** Counted and shown under this name. */
  kind: string;
  /** Cheap test that lets most texts pass; no match means nothing to find. */
  hint: RegExp;
  find: (text: string) => Iterable<Found>;
  /** A text of the same shape that no detector takes for a secret again. */
  standIn: (found: Found, original: string, pseudonyms: Pseudonyms) => string;
}

/** Matches of a global pattern for which `accept` returns a canonical form. */
export function* matches(
  text: string,
  pattern: RegExp,
  accept: (match: RegExpExecArray) => string | undefined,
): Generator<Found> {
  for (const match of text.matchAll(pattern)) {
    const canonical = accept(match);
    if (canonical !== undefined) yield { start: match.index, end: match.index + match[0].length, canonical };
  }
}
