// Lengths and languages of questions and answers.
import { type Language, languageOf } from './language.ts';

export interface Lengths {
  /** Characters. */
  least: number;
  median: number;
  p95: number;
  most: number;
}

export interface Statistics {
  questionLength: Lengths;
  answerLength: Lengths;
  questionLanguage: Partial<Record<Language, number>>;
  answerLanguage: Partial<Record<Language, number>>;
  /** Rows with a Chinese question and an English answer of more than a few words, or the other way round. */
  languageMismatch: number;
}

/** Shorter answers are labels, which are often English whatever the question is. */
const LABEL = 40;

export function statisticsOf(rows: readonly { question: string; answer: string }[]): Statistics {
  const questions = rows.map(({ question }) => languageOf(question));
  const answers = rows.map(({ answer }) => languageOf(answer));
  const crossed = rows.filter(
    ({ answer }, i) => answer.length > LABEL && ['zh en', 'en zh'].includes(`${questions[i]} ${answers[i]}`),
  );
  return {
    questionLength: lengths(rows.map(({ question }) => question.length)),
    answerLength: lengths(rows.map(({ answer }) => answer.length)),
    questionLanguage: counts(questions),
    answerLanguage: counts(answers),
    languageMismatch: crossed.length,
  };
}

function lengths(values: number[]): Lengths {
  const sorted = values.toSorted((a, b) => a - b);
  const at = (share: number) => sorted[Math.min(sorted.length - 1, Math.floor(share * sorted.length))] ?? 0;
  return { least: at(0), median: at(0.5), p95: at(0.95), most: at(1) };
}

function counts(languages: readonly Language[]): Partial<Record<Language, number>> {
  const result: Partial<Record<Language, number>> = {};
  for (const language of languages) result[language] = (result[language] ?? 0) + 1;
  return result;
}
