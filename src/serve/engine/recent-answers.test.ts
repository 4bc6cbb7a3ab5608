import { expect, it } from 'vitest';
import { Drafter } from './draft.ts';
import { RecentAnswers } from './recent-answers.ts';

const PROMPT = [1, 2, 3];

it('tells what most often followed, once it was seen often enough', () => {
  const answers = new RecentAnswers();
  for (const last of [8, 8, 9]) answers.add(undefined, PROMPT, [5, 6, 7, last]);
  expect(answers.next(undefined, [5, 6, 7])).toBeUndefined();
  answers.add(undefined, PROMPT, [5, 6, 7, 8]);
  expect(answers.next(undefined, [0, 5, 6, 7])).toEqual({ token: 8, share: 0.75 });
  expect(answers.next(undefined, [...PROMPT])).toEqual({ token: 5, share: 1 });
  expect(answers.next('other', [5, 6, 7])).toBeUndefined();
});

it('forgets what is long ago', () => {
  const answers = new RecentAnswers();
  for (let i = 0; i < 10; i++) answers.add(undefined, PROMPT, [5, 6, 7, 8]);
  for (let i = 0; i < 64; i++) answers.add(undefined, PROMPT, [50, 60, 70]);
  expect(answers.next(undefined, [5, 6, 7])).toBeUndefined();
  expect(answers.next(undefined, PROMPT)).toEqual({ token: 50, share: 1 });
});

it('drafts as far as the whole draft is likely', () => {
  const drafterAfter = (labels: number[]) => {
    const answers = new RecentAnswers();
    for (const label of labels) answers.add(undefined, PROMPT, [5, 6, 7, label, 8, 9]);
    const drafter = new Drafter(PROMPT, (text) => answers.next(undefined, text));
    drafter.took(5);
    return drafter;
  };
  expect(drafterAfter([20, 21, 22, 23]).propose(10)).toEqual([6, 7]);
  // after the label it has been seen three times only
  expect(drafterAfter([20, 20, 20, 21]).propose(10)).toEqual([6, 7, 20]);
  expect(drafterAfter([20, 20, 20, 20]).propose(10)).toEqual([6, 7, 20, 8, 9]);
  expect(drafterAfter([20, 20, 20, 20]).propose(1)).toEqual([6]);
  expect(new Drafter(PROMPT).propose(10)).toEqual([]);
});
