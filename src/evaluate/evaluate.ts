// The evaluate stage: the student answers the held-out items, and both it and its teacher are scored on the same ones.
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { readJsonl, toJsonl } from '../base/jsonl.ts';
import { type Progress, silent } from '../base/progress.ts';
import type { Completer } from '../chat/completer.ts';
import { signalsOf } from '../chat/confidence.ts';
import { type Example, messageText, promptOf } from '../chat/messages.ts';
import { type Answer, answerAll, busySeconds } from './answers.ts';
import { withAgreement } from './cascade/agreement.ts';
import { type Answered, type CascadeFacts, cascadeOf } from './cascade/cascade.ts';
import { type Contamination, contaminationOf } from './contamination.ts';
import { type Basis, basisOf, expectedAnswer, rightAnswer } from './expected.ts';
import { JUDGE_DESCRIPTION, type JudgeFacts, type JudgeSetup, judgeItems } from './judged.ts';
import { countLook, testHash } from './looks.ts';
import { type Quality, qualityOf } from './quality.ts';
import { chooseScorer, type ScorerName, scorers } from './scorers/registry.ts';
import type { Score, ScoreAnswer } from './scorers/scorer.ts';
import { type Confusion, confusionsOf, fieldMeans, type Slice, slicesOf } from './slices.ts';
import { quantile } from './statistics/bootstrap.ts';
import type { Pair } from './statistics/pairs.ts';
import { type CountTokens, type TeacherTokens, teacherTokens } from './tokens.ts';

/** Raise when the same answers give other facts. */
export const EVALUATE_VERSION = 1;

export interface EvaluateOptions {
  /** `auto`, a scorer's name, or `judge`. */
  scorer: string;
  /** Most tokens of an answer; 0: twice the longest answer of the training rows, and 16 more. */
  maxTokens: number;
  resamples: number;
  seed: number;
  /** JSON: an answer counts only if all of its fields are right. */
  requireAllFields: boolean;
  /** JSON: schema that an answer must keep to. */
  schema?: Record<string, unknown>;
  /** numeric: how far an answer may be off. */
  tolerance?: { absolute: number; relative: number };
  /** Tag whose equal values make items of one source, resampled as a whole; '' for none. */
  clusterTag: string;
  /** Also answers the calibration split, and says when to hand over to the teacher. */
  cascade?: boolean;
  /** Further answers drawn for each item, whose agreement is one more sign of being right. */
  agreement?: number;
  /** The student is held to the answers that the training rows know, as the server's `labels` do. */
  labelSet: boolean;
}

export const EVALUATE_DEFAULTS: EvaluateOptions = {
  scorer: 'auto',
  maxTokens: 0,
  resamples: 10_000,
  seed: 1,
  requireAllFields: false,
  clusterTag: '',
  labelSet: false,
};

export interface EvaluateRun {
  /** Folder with test.jsonl, and train.jsonl and calibration.jsonl where there are any. */
  dataset: string;
  /** Another such folder, where the student was trained on that one. */
  trainedOn?: string;
  completer: Completer;
  /** The student's tokenizer, without special tokens. */
  countTokens: CountTokens;
  options?: Partial<EvaluateOptions>;
  folder: string;
  /** Where looks at test splits are counted, e.g. WORKSPACE/looks.jsonl; without it they are not. */
  looksFile?: string;
  /** Who is asked by the scorer `judge`. */
  judge?: JudgeSetup;
  progress?: Progress;
  signal?: AbortSignal;
}

/** A line of scores.jsonl. */
export interface ScoredItem {
  id: string;
  line: number;
  /** What was asked last, cut at 2,000 characters. */
  asked: string;
  expected: string;
  student: string;
  teacher: string;
  studentScore: number;
  teacherScore: number;
  fields?: Record<string, number>;
  label?: Score['label'];
  tags?: Record<string, string>;
  error?: string;
  /** Of the scorer `judge`, with its own words of both rounds. */
  judgement?: { preference: string; unsure: boolean; rationales: readonly string[] };
}

export interface EvaluateFacts extends Record<string, unknown> {
  scorer: ScorerName | 'judge';
  scorerDescription: string;
  basis: Basis;
  quality: Quality;
  /** Of the scorer `judge`. */
  judge?: JudgeFacts;
  /** Measured while answering with `concurrency` requests in flight. */
  speed: {
    concurrency: number;
    busySeconds: number;
    requestsPerSecond: number;
    outputTokensPerSecond: number;
    secondsP50: number;
    secondsP95: number;
  };
  student: {
    name: string;
    requests: number;
    promptTokens: number;
    cachedTokens: number;
    completionTokens: number;
    /** Answers cut at the token limit, and requests that failed; both are scored as they are. */
    truncated: number;
    failed: number;
    maxTokens: number;
  };
  /** Of the test rows. */
  teacher: TeacherTokens[];
  /** Of the other rows, which the student learned from. */
  taught: TeacherTokens[];
  fields: Record<string, number>;
  confusions: Confusion[];
  slices: Slice[];
  contamination: Contamination;
  /** Evaluations on this test split so far, this one included; 0 where nobody counts. */
  looks: number;
  /** Hash of the test split's conversations. */
  testHash: string;
  /** With `cascade`. */
  cascade?: CascadeFacts;
  notes: string[];
}

/**
 * Writes answers.jsonl (as answers come; a rerun goes on from there) and scores.jsonl (one line for each scored item).
 * @throws CupelError when there is no test file, no item could be answered, or the scorer is unknown
 */
export async function evaluate(run: EvaluateRun): Promise<EvaluateFacts> {
  const options = { ...EVALUATE_DEFAULTS, ...run.options };
  const test = await readSplit(run.dataset, 'test');
  if (!test) throw noTest(run.dataset);
  const { clusterTag } = options;
  if (clusterTag && !test.some((example) => example.tags?.[clusterTag])) throw noCluster(clusterTag, test);
  const calibration = (await readSplit(run.dataset, 'calibration')) ?? [];
  const seen = [...((await readSplit(run.dataset, 'train')) ?? []), ...calibration];
  const basis = basisOf(test);
  const right = [...seen, ...test].map((example) => rightAnswer(example, basis)).filter((text) => text !== undefined);
  const byJudge = options.scorer === 'judge';
  if (byJudge && !run.judge) throw noJudge();
  if (byJudge) checkLabels(test, run.judge?.labels);
  // what a judge does not score is still needed: the items and their texts
  const scorer = chooseScorer(byJudge ? 'exact' : options.scorer, right);
  const maxTokens = options.maxTokens || answerLimit(seen, run.countTokens);
  const labels = options.labelSet ? labelSetOf(seen) : undefined;
  const answer = (examples: Example[], file: string, drawn?: { temperature: number; seed: number }) =>
    answerAll({
      ...drawn,
      completer: run.completer,
      examples,
      maxTokens: () => maxTokens,
      labels,
      withSignals: options.cascade && !drawn,
      file: join(run.folder, file),
      progress: run.progress ?? silent,
      signal: run.signal,
    });
  const score = scorers[scorer].prepare(right, options);
  const answers = await answer(test, 'answers.jsonl');
  const ruled = scoreItems(test, answers, basis, score);
  const judged = byJudge ? await judgeItems(ruled, basis === 'reference', run.judge!, run.signal) : undefined;
  const items = judged?.items ?? ruled;
  writeFileDurably(join(run.folder, 'scores.jsonl'), toJsonl(items));
  const pairs = pairsOf(items, clusterTag);
  const facts: EvaluateFacts = {
    scorer: judged ? 'judge' : scorer,
    scorerDescription: judged ? JUDGE_DESCRIPTION : scorers[scorer].description,
    ...(judged ? { judge: judged.facts } : {}),
    basis,
    quality: qualityOf(pairs, options),
    speed: speedOf(answers, run.completer.concurrency),
    student: studentOf(run.completer.name, answers, maxTokens),
    teacher: teacherTokens(test, run.countTokens),
    taught: teacherTokens(seen, run.countTokens),
    fields: fieldMeans(items),
    confusions: confusionsOf(items),
    slices: slicesOf(items),
    contamination: contaminationOf(test, [...seen, ...(await trainingRows(run.trainedOn))]),
    looks: run.looksFile ? countLook(run.looksFile, test, run.folder) : 0,
    testHash: testHash(test),
    notes: [],
  };
  if (options.cascade) {
    const asked = await answer(calibration, 'calibration-answers.jsonl');
    const known = scoreItems(calibration, asked, basis, score);
    const fitted = (first: Answer[], second: Answer[]) =>
      cascadeOf(answeredOf(known, first), answeredOf(items, second), options);
    facts.cascade = fitted(asked, answers);
    const { agreement: samples = 0 } = options;
    if (samples > 0) {
      const first = await withAgreement(asked, samples, 'calibration-samples', (file, drawn) =>
        answer(calibration, file, drawn),
      );
      const second = await withAgreement(answers, samples, 'samples', (file, drawn) => answer(test, file, drawn));
      const { extraTime } = second;
      facts.cascade.agreement = { samples, extraTime, ...fitted(first.answers, second.answers) };
    }
  }
  facts.notes = notesFor(facts, test, items.length);
  return facts;
}

/** Scores by item; `clusterTag`: items with the same value of this tag are of one source. */
export function pairsOf(items: readonly ScoredItem[], clusterTag = ''): Pair[] {
  return items.map((item) => {
    const cluster = item.tags?.[clusterTag];
    return { student: item.studentScore, teacher: item.teacherScore, ...(cluster ? { cluster } : {}) };
  });
}

/** Scored items with the signals of their answers; where a completer tells none, the answer has no confidence. */
function answeredOf(items: readonly ScoredItem[], answers: readonly Answer[]): Answered[] {
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  return items.map(({ id, student: text, studentScore, teacherScore }) => ({
    text,
    student: studentScore,
    teacher: teacherScore,
    signals: byId.get(id)?.signals ?? signalsOf([], false),
  }));
}

async function trainingRows(folder: string | undefined): Promise<Example[]> {
  if (folder === undefined) return [];
  return [...((await readSplit(folder, 'train')) ?? []), ...((await readSplit(folder, 'calibration')) ?? [])];
}

/** @throws CupelError when people's labels are all of other items: the judge would be believed unchecked */
function checkLabels(test: readonly Example[], labels: JudgeSetup['labels']): void {
  if (!labels || test.some(({ id }) => labels.has(id))) return;
  throw new CupelError(`none of the ${labels.size} labels is of a test item`, {
    place: { field: '--judge-labels' },
    remedy: `use the ids of the test rows, such as "${test[0]?.id}"`,
    exitCode: 2,
  });
}

async function readSplit(folder: string, name: string): Promise<Example[] | undefined> {
  const file = join(folder, `${name}.jsonl`);
  return existsSync(file) ? readJsonl<Example>(file) : undefined;
}

/** An answer longer than twice the longest one learned from is a failure to stop, not an answer. */
function answerLimit(seen: readonly Example[], count: CountTokens): number {
  const longest = seen.map((example) => expectedAnswer(example)).reduce((a, b) => (b.length > a.length ? b : a), '');
  return longest === '' ? 512 : Math.max(32, 2 * count(longest) + 16);
}

/** Most answers that a closed set may have. */
const MOST_LABELS = 500;

/** The different answers of the training rows. @throws CupelError when they are no closed set */
function labelSetOf(seen: readonly Example[]): string[] {
  const labels = [...new Set(seen.map((example) => expectedAnswer(example).trim()))].sort();
  const closed = labels.length > 1 && labels.length <= MOST_LABELS && 2 * labels.length <= seen.length;
  if (closed) return labels;
  throw new CupelError(`the ${seen.length} training rows have ${labels.length} different answers: no closed set`, {
    place: { field: '--label-set' },
    remedy: `leave --label-set out; it is for jobs with 2 to ${MOST_LABELS} answers, each known from two rows or more`,
    exitCode: 2,
  });
}

function scoreItems(test: Example[], answers: Answer[], basis: Basis, score: ScoreAnswer): ScoredItem[] {
  return test.flatMap((example, i) => {
    const expected = rightAnswer(example, basis);
    if (expected === undefined) return [];
    const { text, error } = answers[i];
    const teacher = expectedAnswer(example);
    const { score: studentScore, fields, label } = score(text, expected);
    const teacherScore = basis === 'teacher' ? 1 : score(teacher, expected).score;
    const asked = messageText(promptOf(example).at(-1)!).slice(0, 2000);
    const { id, line, tags } = example;
    return [
      { id, line, asked, expected, student: text, teacher, studentScore, teacherScore, fields, label, tags, error },
    ];
  });
}

function speedOf(answers: Answer[], concurrency: number): EvaluateFacts['speed'] {
  const done = answers.filter((answer) => answer.error === undefined);
  const busy = busySeconds(done);
  const times = done.map((answer) => answer.seconds).sort((a, b) => a - b);
  const tokens = done.reduce((sum, answer) => sum + answer.completionTokens, 0);
  return {
    concurrency,
    busySeconds: busy,
    requestsPerSecond: busy > 0 ? done.length / busy : 0,
    outputTokensPerSecond: busy > 0 ? tokens / busy : 0,
    secondsP50: times.length > 0 ? quantile(times, 0.5) : 0,
    secondsP95: times.length > 0 ? quantile(times, 0.95) : 0,
  };
}

function studentOf(name: string, answers: Answer[], maxTokens: number): EvaluateFacts['student'] {
  const total = (pick: (answer: Answer) => number) => answers.reduce((sum, answer) => sum + pick(answer), 0);
  return {
    name,
    requests: answers.length,
    promptTokens: total((answer) => answer.promptTokens),
    cachedTokens: total((answer) => answer.cachedTokens ?? 0),
    completionTokens: total((answer) => answer.completionTokens),
    truncated: total((answer) => Number(answer.finishReason === 'length')),
    failed: total((answer) => Number(answer.error !== undefined)),
    maxTokens,
  };
}

function notesFor(facts: EvaluateFacts, test: Example[], scored: number): string[] {
  const { basis, student, judge } = facts;
  const known = test.filter((example) => example.reference !== undefined).length;
  return [
    judge?.agreement === null &&
      "nobody's own preferences were given, so how far the judge can be believed is not known (--judge-labels)",
    judge?.agreement &&
      `the judge agrees with people on ${judge.agreement.n} items with kappa ${judge.agreement.kappa.toFixed(2)}`,
    judge &&
      judge.unsure > 0 &&
      `${judge.unsure} of ${judge.judged} judgements changed with the positions, and count against the student`,
    basis === 'teacher' &&
      !judge &&
      "the student is scored against the teacher's answers, so the teacher's quality is 1 by definition",
    basis === 'teacher' &&
      known > 0 &&
      `only ${known} of ${test.length} test rows have a reference: references were not used`,
    scored < test.length && `${test.length - scored} test rows without a reference were not scored`,
    student.truncated > 0 &&
      `${student.truncated} answers were cut at ${student.maxTokens} tokens (from the longest training answer, or --max-tokens)`,
    student.failed > 0 && `${student.failed} conversations could not be answered and count as wrong`,
    facts.looks > 1 &&
      `this test split was looked at ${facts.looks} times: the more often, the likelier a lucky result; renew it now and then`,
    facts.teacher.some((sum) => sum.estimated) &&
      "the rows have no usage: the teacher's tokens are an estimate, counted with the student's tokenizer",
  ].filter((note) => typeof note === 'string');
}

function noJudge(): CupelError {
  return new CupelError('the scorer "judge" needs somebody to ask', {
    place: { field: '--scorer' },
    remedy: 'give --judge-url and --judge-model',
    exitCode: 2,
  });
}

function noCluster(tag: string, test: readonly Example[]): CupelError {
  const known = [...new Set(test.flatMap((example) => Object.keys(example.tags ?? {})))].join(', ');
  return new CupelError(`no test row has a tag "${tag}"`, {
    place: { field: '--cluster' },
    remedy: known ? `the rows have: ${known}` : 'give rows tags: {"tags": {"source": "contract-17"}, …}',
    exitCode: 2,
  });
}

function noTest(folder: string): CupelError {
  return new CupelError('the dataset has no test.jsonl', {
    place: { file: folder },
    remedy: 'give the folder that `cupel import` made',
    exitCode: 2,
  });
}
