// Multiple choice as one question for each option: a small student tells whether an option fits more easily than which letter does.
import { messageText } from '../../src/chat/messages.ts';
import type { Row } from './rows.ts';

export const FITS = '是';
export const FITS_NOT = '否';

export interface Choice {
  question: string;
  /** By letter. */
  options: ReadonlyMap<string, string>;
}

/** Question and options of a text such as "…A:…B:…"; undefined where a letter is missing. */
export function readChoice(text: string, letters: readonly string[]): Choice | undefined {
  const starts: { letter: string; at: number; end: number }[] = [];
  let from = 0;
  for (const letter of letters) {
    const mark = new RegExp(`${letter}\\s*[:：]`, 'g');
    mark.lastIndex = from;
    const found = mark.exec(text);
    if (!found) return undefined;
    from = found.index + found[0].length;
    starts.push({ letter, at: found.index, end: from });
  }
  const options = starts.map(({ letter, end }, i) => [letter, text.slice(end, starts[i + 1]?.at).trim()] as const);
  return { question: text.slice(0, starts[0].at).trim(), options: new Map(options) };
}

/** What is asked about each option, by its letter; what is beyond `most` characters of question or option is cut. */
export function askedOptions(text: string, letters: readonly string[], most: number): Map<string, string> {
  const { question = '', options = [] } = readChoice(text, letters) ?? {};
  return new Map(
    [...options].map(([letter, option]) => [letter, `${question.slice(0, most)}\n${option.slice(0, most)}`]),
  );
}

/** One row for each option: the answer is whether it is the one that `row` answers with, the reference whether it is right. */
export function optionRows(row: Row, letters: readonly string[], most: number): Row[] {
  const { id, messages, model, tags, reference } = row;
  const fits = (letter: string, right: unknown) => (letter === right ? FITS : FITS_NOT);
  return [...askedOptions(messageText(messages[0]), letters, most)].map(([letter, content]) => ({
    id: `${id} ${letter}`,
    messages: [
      { role: 'user', content },
      { role: 'assistant', content: fits(letter, messages[1].content) },
    ],
    model,
    ...(reference === undefined ? {} : { reference: fits(letter, reference) }),
    tags: { ...tags, item: id, option: letter },
  }));
}

/** The option that most probably fits, and its probability where exactly one of them does. */
export function likeliest(fits: ReadonlyMap<string, number>): { letter: string; probability: number } {
  const odds = [...fits].map(([letter, p]) => ({ letter, odds: p / Math.max(1e-12, 1 - p) }));
  const best = odds.reduce((a, b) => (b.odds > a.odds ? b : a));
  const sum = odds.reduce((total, one) => total + one.odds, 0);
  return { letter: best.letter, probability: sum > 0 ? best.odds / sum : 1 / odds.length };
}
