// What a scorer is, and text made comparable: case, width, white space and closing punctuation carry no meaning.

export interface Score {
  /** 0 to 1. */
  score: number;
  /** Of a structured answer: each field's own score. */
  fields?: Record<string, number>;
  /** Of a closed set of answers: which one was wanted and given. */
  label?: { expected: string; predicted: string };
}

export type ScoreAnswer = (prediction: string, expected: string) => Score;

export interface ScorerOptions {
  /** JSON: 1 only if all fields are right, not the share of them. */
  requireAllFields: boolean;
  /** choice: the options; without them all expected answers. */
  choices?: readonly string[];
  /** numeric: the greater of the two counts. */
  tolerance?: { absolute: number; relative: number };
  /** JSON: schema that an answer must keep to; else it scores 0. */
  schema?: Record<string, unknown>;
}

export interface Scorer {
  /** One clause for the report. */
  description: string;
  /** Does the right thing for answers like these (never empty)? */
  suits: (expected: readonly string[]) => boolean;
  /** `expected`: all right answers known, of training and test, from which a closed set is found. */
  prepare: (expected: readonly string[], options: ScorerOptions) => ScoreAnswer;
}

const CJK_GAP =
  /(?<=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])\s+(?=[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}])/gu;
const EDGES = /^[\s"'`“”‘’「」『』《》*]+|[\s"'`“”‘’「」『』《》*.,!?;:。、…·]+$/gu;

/** NFKC, lower case, single spaces (none between Chinese characters), without quotes around it and punctuation after it. */
export function normalise(text: string): string {
  const plain = text.normalize('NFKC').toLowerCase().replace(/\s+/gu, ' ').replace(CJK_GAP, '');
  // an answer that is nothing but punctuation stays what it is
  return plain.replace(EDGES, '') || plain.trim();
}
