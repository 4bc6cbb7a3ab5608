// Different answers to the same question: flagged, because one of them must be wrong or the prompt leaves something open.
import { canonicalJson } from '../base/hash.ts';
import { jaccard, plainText, shingles } from '../base/similarity.ts';

/** Up to this many characters an answer is a label or a value: then any difference counts. */
const SHORT = 64;

/** Jaccard similarity below which two long answers have nothing to do with each other. */
const UNLIKE = 0.05;

/** Rows (by index) that answer one question differently; the first is where the question came first. */
export interface Contradiction {
  rows: number[];
  answers: string[];
}

/** @param questions everything before the answer, as one text each; @param answers the last answers */
export function findContradictions(questions: readonly string[], answers: readonly string[]): Contradiction[] {
  const groups = new Map<string, number[]>();
  questions.forEach((question, i) => {
    const key = plainText(question) || question;
    const known = groups.get(key);
    if (known) known.push(i);
    else groups.set(key, [i]);
  });
  return [...groups.values()].flatMap((rows) => {
    const [first] = rows;
    const others = rows.filter((i) => differ(answers[first], answers[i]));
    if (others.length === 0) return [];
    return [{ rows, answers: [...new Set(rows.map((i) => answers[i].slice(0, 200)))] }];
  });
}

function differ(a: string, b: string): boolean {
  const [x, y] = [meaning(a), meaning(b)];
  if (x === y) return false;
  if (x.length <= SHORT || y.length <= SHORT || isJson(a) || isJson(b)) return true;
  return jaccard(shingles(a), shingles(b)) < UNLIKE;
}

function meaning(answer: string): string {
  const json = parsed(answer);
  return json === undefined ? plainText(answer) || answer.trim() : canonicalJson(json);
}

function isJson(text: string): boolean {
  return parsed(text) !== undefined;
}

function parsed(text: string): object | undefined {
  if (!/^\s*[[{]/.test(text)) return undefined;
  try {
    return JSON.parse(text) as object;
  } catch {
    return undefined;
  }
}
