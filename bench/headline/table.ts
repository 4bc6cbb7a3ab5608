// The headline as a table: one line for each student, and below it why a verdict is not "proven".
import { formatDuration } from '../../src/base/duration.ts';
import { formatTable } from '../../src/cli/table.ts';
import { percent } from '../../src/report/verdict.ts';
import type { Measured } from './measure.ts';
import type { Slice } from './slices.ts';

export function headlineTable(measured: readonly Measured[]): string {
  const rows = measured.flatMap(row);
  const header = ['student', 'job', 'learned from', 'items', 'teacher', 'student', 'ratio', 'at least', 'cost of GPT-4', 'of GPT-4o', 'training', 'USD', 'verdict']; // biome-ignore format: one list
  return [formatTable([header, ...rows]), '', ...measured.flatMap(why)].join('\n');
}

/** Earlier results with those of this run in their place. */
export function mergeResults(before: readonly Measured[], now: readonly Measured[]): Measured[] {
  const key = ({ job, way, student }: Measured) => [job, way, student].join();
  const fresh = new Map(now.map((one) => [key(one), one]));
  const kept = before.map((one) => fresh.get(key(one)) ?? one);
  const known = new Set(before.map(key));
  return [...kept, ...now.filter((one) => !known.has(key(one)))];
}

function row({ student, job, way, rows, quality, slices, cost, training, made }: Measured): string[][] {
  const [gpt4, gpt4o] = cost;
  const numbers = ({ teacher, student, ratio, lower95 }: Measured['quality']) => [
    percent(teacher),
    percent(student),
    ratio.toFixed(3),
    lower95.toFixed(3),
  ];
  const money = [formatDuration(training.seconds), made.usd.toFixed(4)];
  const whole = [student, job, way, String(rows.test), ...numbers(quality), percent(gpt4.share), percent(gpt4o.share), ...money, verdicts(cost)]; // biome-ignore format: one list
  const part = ({ task, n, cost: own, ...found }: Slice) => [
    ...['', `  ${task}`, '', String(n), ...numbers(found)],
    ...(own ? [percent(own[0].share), percent(own[1].share), '', '', verdicts(own)] : []),
  ];
  return [whole, ...slices.map(part)];
}

function verdicts([gpt4, gpt4o]: readonly { verdict: string }[]): string {
  return gpt4.verdict === gpt4o.verdict ? gpt4.verdict : `${gpt4.verdict}; at GPT-4o's price ${gpt4o.verdict}`;
}

function why(measured: Measured): string[] {
  const { student, budget, passes, job, way, rows, cost, training, requestsPerSecond, folds = 1 } = measured;
  const sample =
    rows.test < rows.testable ? `${rows.test} of ${rows.testable} held-out items` : `all ${rows.test} held-out items`;
  const most = passes ? `at most ${passes} passes and ${budget}` : `budget ${budget}`;
  return [
    `${student}, ${job}, ${way}, ${most}: ${rows.train} rows to train, ${sample}; ${training.epochs.toFixed(1)} passes, ended because: ${training.reason}; ${requestsPerSecond.toFixed(1)} answers/s`,
    ...(folds > 1
      ? [
          `  ${folds} students made alike, each tested on the items that it alone had not seen: the figures are of the recipe, not of one file`,
        ]
      : []),
    ...withoutModel(measured),
    ...together(measured),
    ...cost.flatMap(({ teacher, reasons }) => reasons.map((reason) => `  at ${teacher}'s price: ${reason}`)),
  ];
}

function withoutModel({ baselines, blind }: Measured): string[] {
  if (baselines) {
    const { frequent, nearest, linear } = baselines;
    return [
      `  without a language model: the most frequent answer is right on ${percent(frequent)}, the nearest texts on ${percent(nearest)}, a linear classifier of words on ${percent(linear)}`,
    ];
  }
  return blind === undefined ? [] : [`  always the most frequent training answer: right on ${percent(blind)}`];
}

function together({ cascade, cost, slices }: Measured): string[] {
  const names = cost.map(({ teacher }) => teacher);
  return [
    ...(cascade ? [`  with its teacher behind it ${handedOver(cascade, names)}`] : []),
    ...slices.flatMap(({ task, cascade }) =>
      cascade
        ? [`  ${task} with a threshold of its own: ${handedOver(cascade, names)}: ${judged(cascade.verdict)}`]
        : [],
    ),
  ];
}

function judged(verdict: readonly string[]): string {
  return verdicts(verdict.map((one) => ({ verdict: one })));
}

function handedOver(cascade: NonNullable<Measured['cascade']>, teachers: readonly string[]): string {
  if (cascade.local === 0) return `the student answers nothing: ${cascade.reason}`;
  const shares = cascade.share.map((share, i) => `${percent(share)} of ${teachers[i]}'s cost`);
  return `the student answers ${percent(cascade.local)}; together ${percent(cascade.quality)} right, ratio ${cascade.ratio.toFixed(3)}, at least ${cascade.lower95.toFixed(3)}, for ${shares.join(' and ')}`;
}
