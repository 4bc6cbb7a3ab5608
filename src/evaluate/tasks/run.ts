// Runs a task: by likelihood of the choices as lm-evaluation-harness does, or by generation, extraction and a scorer.
import { CupelError } from '../../base/errors.ts';
import { type Progress, silent } from '../../base/progress.ts';
import type { Completer } from '../../chat/completer.ts';
import { chooseScorer, scorers } from '../scorers/registry.ts';
import type { ScoreAnswer } from '../scorers/scorer.ts';
import { wilson } from '../statistics/wilson.ts';
import type { TaskItem } from './items.ts';
import { allMatches } from './limited.ts';
import type { Task } from './task.ts';

export interface TaskAnswer {
  id: string;
  subject?: string;
  /** 0 to 1; of multiple choice `score` is by likelihood, `normalised` by likelihood for each character. */
  score: number;
  normalised?: number;
  /** What was answered, or the chosen index, by likelihood and normalised. */
  answer?: string;
  chosen?: number;
  chosenNormalised?: number;
  logprobs?: number[];
}

export interface TaskResult {
  task: string;
  version: number;
  n: number;
  /** Mean of the metric that the task names, with its 95% Wilson interval. */
  score: number;
  interval: { lower: number; upper: number };
  accuracyNormalised?: number;
  answers: TaskAnswer[];
}

export interface TaskRun {
  task: Task;
  items: readonly TaskItem[];
  completer: Completer;
  progress?: Progress;
  signal?: AbortSignal;
}

/** @throws CupelError when the completer cannot tell likelihoods and the task needs them */
export async function runTask({ task, items, completer, progress = silent, signal }: TaskRun): Promise<TaskResult> {
  const answers: TaskAnswer[] = new Array(items.length);
  const score = taskScorer(task, items);
  const ask = (item: TaskItem) =>
    task.output === 'multiple-choice' ? choose(task, item, completer) : generate(task, item, completer, score, signal);
  let next = 0;
  const lane = async () => {
    while (next < items.length) {
      signal?.throwIfAborted();
      const at = next++;
      answers[at] = await ask(items[at]);
      progress({ stage: task.name, done: at + 1, total: items.length, unit: 'items' });
    }
  };
  const lanes = task.output === 'multiple-choice' ? 1 : Math.max(1, completer.concurrency);
  await Promise.all(Array.from({ length: lanes }, lane));
  return summary(task, answers);
}

/** Scores recorded answers, e.g. GPT-4's of LawBench, as a model's would be. @throws CupelError when there are none */
export function scoreRecorded(task: Task, items: readonly TaskItem[]): TaskResult {
  const score = taskScorer(task, items);
  const answers = items.flatMap(({ id, subject, target, recorded }) =>
    recorded === undefined ? [] : [{ id, subject, answer: recorded, score: score(recorded, target).score }],
  );
  if (answers.length > 0) return summary(task, answers);
  throw new CupelError(`no answer is recorded in the data of ${task.name}`, {
    place: { field: '--model' },
    remedy: 'say which model shall answer, e.g. --model student.gguf',
    exitCode: 2,
  });
}

function summary(task: Task, answers: TaskAnswer[]): TaskResult {
  const n = answers.length;
  const mean = (pick: (answer: TaskAnswer) => number) => answers.reduce((sum, answer) => sum + pick(answer), 0) / n;
  const plain = n > 0 ? mean((answer) => answer.score) : 0;
  const normalised = n > 0 && answers[0].normalised !== undefined ? mean((answer) => answer.normalised!) : undefined;
  const score = task.metric === 'accuracyNormalised' && normalised !== undefined ? normalised : plain;
  const { name, version } = task;
  const interval = wilson(score * n, n);
  return {
    task: name,
    version,
    n,
    score,
    interval,
    ...(normalised === undefined ? {} : { accuracyNormalised: normalised }),
    answers,
  };
}

function taskScorer(task: Task, items: readonly TaskItem[]): ScoreAnswer {
  const targets = items.map((item) => item.target);
  const prepared = scorers[chooseScorer(task.scorer, targets)].prepare(targets, {
    requireAllFields: false,
    choices: task.options,
    ...(task.tolerance && { tolerance: task.tolerance }),
    ...(task.schema && { schema: task.schema }),
  });
  return (answer, target) => prepared(extracted(task, answer), target);
}

async function choose(task: Task, item: TaskItem, { loglikelihood, name }: Completer): Promise<TaskAnswer> {
  if (!loglikelihood) {
    throw new CupelError(`${name} cannot tell how likely a given text is, which ${task.name} needs`, {
      remedy: 'run this task on a GGUF file',
      exitCode: 2,
    });
  }
  const choices = item.choices!;
  const golds = item.golds ?? [item.gold];
  const continuations = choices.map((choice) => `${task.delimiter}${choice}`);
  const logprobs = (await loglikelihood({ context: item.prompt, continuations })).map((found) => found.logprob);
  const chosen = largest(logprobs);
  // characters as Python counts them
  const chosenNormalised = largest(logprobs.map((logprob, i) => logprob / [...choices[i]].length));
  return {
    id: item.id,
    subject: item.subject,
    score: Number(golds.includes(chosen)),
    normalised: Number(golds.includes(chosenNormalised)),
    chosen,
    chosenNormalised,
    logprobs,
  };
}

/** The first of the largest, as numpy.argmax. */
function largest(values: readonly number[]): number {
  return values.indexOf(Math.max(...values));
}

async function generate(
  task: Task,
  item: TaskItem,
  completer: Completer,
  score: ScoreAnswer,
  signal?: AbortSignal,
): Promise<TaskAnswer> {
  const messages = item.messages ?? [{ role: 'user' as const, content: item.prompt }];
  const { maxTokens, stop } = task;
  const { text } = await completer.complete({ messages, maxTokens, temperature: 0, stop, signal });
  return { id: item.id, subject: item.subject, answer: text, score: score(text, item.target).score };
}

/** What the first matching rule takes out of an answer, or all of it. */
function extracted(task: Task, answer: string): string {
  for (const { pattern, last } of task.extract) {
    const found = allMatches(pattern, answer).at(last ? -1 : 0);
    if (found) return found.slice(1).find((group) => group !== null) ?? found[0]!;
  }
  return answer;
}
