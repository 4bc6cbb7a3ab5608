// What needs no language model: the most frequent answer, the nearest training rows, a linear classifier of words.
import { messageText } from '../../src/chat/messages.ts';
import { type Choice, readChoice } from './choice.ts';
import { dot, grams, joined, type Sparse, Vocabulary } from './grams.ts';
import { type Decision, trainLinear } from './linear.ts';
import type { Row } from './rows.ts';

/** Shares of the test that are right. */
export interface Baselines {
  frequent: number;
  nearest: number;
  linear: number;
}

export interface Split {
  train: readonly Row[];
  test: readonly Row[];
}

const NEIGHBOURS = 7;

export const asked = (row: Row) => messageText(row.messages[0]);
export const answered = (row: Row) => messageText(row.messages.at(-1)!);
const right = (row: Row) => row.reference ?? answered(row);

/** @param letters of the options, for rows that are multiple choice */
export function baselines(split: Split, letters?: readonly string[]): Baselines {
  const share = (answer: (row: Row) => string | undefined) =>
    split.test.filter((row) => answer(row) === right(row)).length / split.test.length;
  const most = frequentAnswer(split.train);
  const others = letters ? choiceBaselines(split, letters) : labelBaselines(split);
  return { frequent: share(() => most), nearest: share(others.nearest), linear: share(others.linear) };
}

export function frequentAnswer(train: readonly Row[]): string | undefined {
  const counts = new Map<string, number>();
  for (const row of train) counts.set(answered(row), (counts.get(answered(row)) ?? 0) + 1);
  return [...counts].sort((a, b) => b[1] - a[1])[0]?.[0];
}

function labelBaselines({ train }: Split) {
  const labels = [...new Set(train.map(answered))].sort();
  // a label's name is a text of its own
  const texts = [...train.map((row) => ({ text: asked(row), label: answered(row) })), ...labels.map((label) => ({ text: label, label }))]; // biome-ignore format: one list
  const vocabulary = new Vocabulary(texts.map(({ text }) => text));
  const known = texts.map(({ text, label }) => ({ vector: vocabulary.vector(text), label: labels.indexOf(label) }));
  // always on: how frequent a label is
  const bias = { at: [vocabulary.size], values: [0.3] };
  const candidates = (vector: Sparse) => new Array<Sparse>(labels.length).fill(joined(vector, bias));
  const stride = vocabulary.size + 1;
  const decisions = known.map(({ vector, label }): Decision => ({ of: candidates(vector), right: label }));
  const decide = trainLinear(decisions, stride * labels.length, stride);
  return {
    nearest: (row: Row) => {
      const here = vocabulary.vector(asked(row));
      const close = known.map(({ vector, label }) => ({ label, near: dot(here, vector) }));
      const votes = labels.map(() => 0);
      for (const { label, near } of close.sort((a, b) => b.near - a.near).slice(0, NEIGHBOURS)) votes[label] += near;
      return labels[votes.indexOf(Math.max(...votes))];
    },
    linear: (row: Row) => labels[decide(candidates(vocabulary.vector(asked(row))))],
  };
}

function choiceBaselines({ train }: Split, letters: readonly string[]) {
  const choiceOf = (row: Row) => readChoice(asked(row), letters);
  const known = train.flatMap((row) => {
    const choice = choiceOf(row);
    return choice && letters.includes(answered(row)) ? [{ choice, right: letters.indexOf(answered(row)) }] : [];
  });
  const texts = known.flatMap(({ choice }) => [choice.question, ...choice.options.values()]);
  const vocabulary = new Vocabulary(texts, 3);
  const near = ({ question, options }: Choice) => {
    const here = vocabulary.vector(question);
    return [...options.values()].map((option) => dot(vocabulary.vector(option), here));
  };
  const features = (choice: Choice): Sparse[] => {
    const shared = near(choice);
    const question = new Set(grams(choice.question));
    return [...choice.options.values()].map((option, i) => {
      const rank = shared.filter((value) => value > shared[i]).length;
      const own = new Set(grams(option));
      const both = [...own].filter((gram) => question.has(gram)).length;
      const extra = [0, 1, 2, 3, 4 + rank, 4 + letters.length + i].map((at) => vocabulary.size + at);
      const values = [3 * shared[i], (3 * both) / (own.size || 1), (3 * both) / (question.size || 1), Math.log1p(option.length) / 5, 1, 1]; // biome-ignore format: one list
      return joined(vocabulary.vector(option), { at: extra, values });
    });
  };
  const decisions = known.map(({ choice, right }): Decision => ({ of: features(choice), right }));
  const decide = trainLinear(decisions, vocabulary.size + 4 + 2 * letters.length, 0);
  const byChoice = (pick: (choice: Choice) => number) => (row: Row) => {
    const choice = choiceOf(row);
    return choice && letters[pick(choice)];
  };
  return {
    nearest: byChoice((choice) => {
      const shared = near(choice);
      return shared.indexOf(Math.max(...shared));
    }),
    linear: byChoice((choice) => decide(features(choice))),
  };
}
