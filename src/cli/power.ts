// `cupel power`: before a run, how many held-out items a verdict will need, or how likely it is with those there are.
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import { CONFIDENCE, MARGIN } from '../evaluate/quality.ts';
import type { Margin } from '../evaluate/statistics/noninferiority.ts';
import { type Expected, itemsForPower, powerOf } from '../evaluate/statistics/power.ts';
import { integerOption, numberOption } from './numbers.ts';
import { print } from './session.ts';

interface PowerChoices extends Expected {
  margin: number;
  difference?: number;
  power: number;
  items?: number;
  json?: boolean;
}

interface Planned extends Expected {
  margin: Margin;
  /** Asked for, or with the `items` there are. */
  power: number;
  /** null: no number would do, the student is not good enough. */
  items: number | null;
}

/** @throws CupelError (exit code 2) for a student that cannot be */
function plan({ teacher, ratio, gain = 0, margin, difference, power, items }: PowerChoices): Planned {
  const both = ratio * teacher - gain * (1 - teacher);
  if (both < -1e-9 || both > teacher + 1e-9) {
    throw new CupelError(`no student has ${ratio} of a teacher's ${teacher} and a gain of ${gain}`, {
      place: { field: '--gain' },
      remedy: 'a ratio above 1 needs items that only the student gets right; with a gain of 0 it is at most 1',
      exitCode: 2,
    });
  }
  const expected = { teacher, ratio, gain };
  const kind: Margin =
    difference === undefined ? { kind: 'relative', value: margin } : { kind: 'absolute', value: difference };
  const options = { margin: kind, confidence: CONFIDENCE };
  const needed = itemsForPower(expected, power, options);
  const reached = items === undefined ? power : powerOf(expected, items, options);
  return { ...expected, margin: kind, power: reached, items: items ?? (Number.isFinite(needed) ? needed : null) };
}

function describe({ teacher, ratio, margin, power, items }: Planned): string {
  const student = `a student with ${ratio} of the quality of a teacher that is right on ${(100 * teacher).toFixed(1)}%`;
  const claim =
    margin.kind === 'relative'
      ? `at least ${margin.value} of the teacher`
      : `at most ${margin.value} below the teacher`;
  return items === null
    ? `${student} is not better than ${claim}: no number of items would prove it`
    : `${student} is proven ${claim} in ${(100 * power).toFixed(0)} of 100 evaluations on ${items} items`;
}

export function register(program: Command): void {
  program
    .command('power')
    .description('before a run: how many held-out items a verdict will need, or how likely it is with those there are')
    .option(
      '--teacher <share>',
      'items that the teacher gets right; 1 where its own answers are the measure',
      numberOption(0, 1),
      1,
    )
    .option('--ratio <share>', "the student's quality over the teacher's, as you expect it", numberOption(0), 0.98)
    .option(
      '--gain <share>',
      'of the items that the teacher gets wrong, those that the student gets right',
      numberOption(0, 1),
      0,
    )
    .option('--margin <share>', 'least ratio that is to be proven', numberOption(0.01, 0.999), MARGIN)
    .option(
      '--difference <share>',
      'prove at most so much below the teacher instead, e.g. 0.02',
      numberOption(0.001, 0.99),
    )
    .option('--power <share>', 'how likely "proven" shall be', numberOption(0.01, 0.999), 0.8)
    .option('--items <n>', 'how likely it is with so many items', integerOption(1))
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nItems are independent and right or wrong; where they share a source, count sources.\nExample:\n  cupel power --teacher 0.9 --ratio 0.99 --gain 0.2\n  cupel power --ratio 0.98 --items 400',
    )
    .action((choices: PowerChoices) => {
      const planned = plan(choices);
      print(choices.json ?? false, planned, () => describe(planned));
    });
}
