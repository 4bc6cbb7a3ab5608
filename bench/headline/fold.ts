// One student through the pipeline: import, distill, compress, evaluate; and which of its items it got right.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { Artifact } from '../../src/artifacts/store.ts';
import { readJsonl, toJsonl } from '../../src/base/jsonl.ts';
import { type Signals, signalsOf } from '../../src/chat/confidence.ts';
import { runCompress, servedModel } from '../../src/cli/compress.ts';
import { type DistillChoices, runDistill } from '../../src/cli/distill.ts';
import { runEvaluate } from '../../src/cli/evaluate.ts';
import { runImport } from '../../src/cli/import.ts';
import type { Session } from '../../src/cli/session.ts';
import type { Student } from '../../src/cli/student.ts';
import type { Answer } from '../../src/evaluate/answers.ts';
import type { Answered } from '../../src/evaluate/cascade/cascade.ts';
import type { ScoredItem } from '../../src/evaluate/evaluate.ts';
import { normalise } from '../../src/evaluate/scorers/scorer.ts';
import { answered } from './baselines.ts';
import { FITS, likeliest } from './choice.ts';
import type { Fold, Job } from './jobs.ts';
import type { Row } from './rows.ts';

export interface Item extends Answered {
  task: string;
}

export interface FoldRun {
  dataset: Artifact;
  distilled: Artifact;
  compressed: Artifact;
  evaluation: Artifact;
  items: Item[];
  /** Of the calibration split, which chooses thresholds; none of multiple choice. */
  known: Item[];
}

/** Of fewer no split is set aside, which would be a fifth of them: every tenth chooses the checkpoint. */
const FEW_ROWS = 500;

/**
 * Of many rows a fifth chooses the cascade's threshold, which must show the bound on these rows alone: that costs 1.2 points of quality
 * on 600 items and 0.9 on 1,200, and a point of quality is a point of the cost.
 */
const CASCADE_SHARE = 0.2;

export type Training = Pick<
  DistillChoices,
  'budget' | 'maxEpochs' | 'learningRate' | 'promptWeight' | 'firstLayer' | 'rank' | 'batchTokens' | 'accumulate'
>;

export async function runFold(
  session: Session,
  student: Student,
  job: Job,
  number: number,
  training: Training,
): Promise<FoldRun> {
  const fold = job.folds[number];
  const folder = join(session.workspace, 'rows');
  mkdirSync(folder, { recursive: true });
  const write = (split: string, rows: readonly Row[]) => {
    const name = `${job.name} ${job.way} ${split} ${number + 1} of ${job.folds.length}.jsonl`;
    const file = join(folder, name.replaceAll(' ', '-'));
    writeFileSync(file, toJsonl(rows));
    return file;
  };
  const test = write('test', fold.asked);
  const calibrationShare = fold.train.length < FEW_ROWS ? 0 : CASCADE_SHARE;
  const dataset = await runImport(session, write('train', fold.train), { test, calibrationShare });
  const distilled = await runDistill(session, student, dataset, training);
  const compressed = await runCompress(session, student, distilled, { type: ['q8_0'] });
  const choices = { scorer: 'label', maxTokens: 0, labelSet: true, cascade: true };
  const evaluation = await runEvaluate(session, servedModel(compressed, 'q8_0'), dataset, choices);
  const scores = await readJsonl<ScoredItem>(join(evaluation.path, 'scores.jsonl'));
  const answers = await readJsonl<Answer>(join(evaluation.path, 'answers.jsonl'));
  const signals = new Map(answers.map((answer) => [answer.id, answer.signals ?? signalsOf([], false)]));
  const items = job.letters ? choiceItems(fold, scores, signals) : plainItems(scores, signals);
  const known = job.letters || calibrationShare === 0 ? [] : await knownItems(dataset.path, evaluation.path);
  return { dataset, distilled, compressed, evaluation, items, known };
}

/** The calibration split and how it was answered; a row's own answer is the right one. */
async function knownItems(dataset: string, evaluation: string): Promise<Item[]> {
  const rows = await readJsonl<Row>(join(dataset, 'calibration.jsonl'));
  const answers = await readJsonl<Answer>(join(evaluation, 'calibration-answers.jsonl'));
  const byId = new Map(answers.map((answer) => [answer.id, answer]));
  return rows.flatMap((row): Item[] => {
    const answer = byId.get(row.id);
    if (answer === undefined) return [];
    const { text, signals = signalsOf([], false) } = answer;
    // the student answers with a label and nothing else
    const student = Number(normalise(text) === normalise(answered(row)));
    return [{ text, ...groupOf(row.tags), student, teacher: 1, signals }];
  });
}

/** Items of one case are resampled as a whole. */
function groupOf(tags: Row['tags']): Pick<Item, 'task' | 'cluster'> {
  return { task: tags!.task, ...(tags!.case === undefined ? {} : { cluster: tags!.case }) };
}

function plainItems(scores: readonly ScoredItem[], signals: ReadonlyMap<string, Signals>): Item[] {
  return scores.map(({ id, tags, student: text, studentScore, teacherScore }) => ({
    text,
    ...groupOf(tags),
    student: studentScore,
    teacher: teacherScore,
    signals: signals.get(id)!,
  }));
}

/** The option that the student finds likeliest to fit, of all those it was asked about. */
export function choiceItems(
  fold: Pick<Fold, 'test'>,
  scores: readonly ScoredItem[],
  signals: ReadonlyMap<string, Signals>,
): Item[] {
  const fits = new Map<string, Map<string, number>>();
  for (const { id, student, tags } of scores) {
    const { item, option } = tags!;
    const sure = Math.exp(signals.get(id)!.total);
    if (!fits.has(item)) fits.set(item, new Map());
    fits.get(item)!.set(option, student === FITS ? sure : 1 - sure);
  }
  return fold.test.map((row) => {
    const teacher = Number(answered(row) === row.reference);
    const known = fits.get(row.id);
    const group = groupOf(row.tags);
    // a question that cannot be read as options is one that the student cannot answer
    if (!known) return { text: '', ...group, student: 0, teacher, signals: signalsOf([], false) };
    const { letter, probability } = likeliest(known);
    const own = Math.log(known.get(letter)!);
    const total = Math.log(probability);
    return {
      text: letter,
      ...group,
      student: Number(letter === row.reference),
      teacher,
      signals: { mean: own, least: total, total, complete: true },
    };
  });
}
