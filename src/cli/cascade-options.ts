// `cupel serve --teacher`: the teacher behind a student, from the command line to the server's settings.
import { appendFileSync, mkdirSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { parseDuration } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import { sha256File } from '../base/hash.ts';
import { type CascadeFile, cascadeFileOf, readCascade } from '../chat/confidence.ts';
import { RatioSequence } from '../evaluate/statistics/sequence.ts';
import { loadRedactionKey } from '../record/redact/key.ts';
import { Redactor } from '../record/redact/redactor.ts';
import { parseTeacherPrice, priceOf } from '../report/prices.ts';
import type { CascadeMode, CascadeSettings } from '../serve/cascade/cascade.ts';
import type { TeacherUsage } from '../serve/cascade/teacher.ts';
import { isBelieved } from './cascade.ts';
import { integerOption, numberOption } from './numbers.ts';

export interface CascadeChoices {
  teacher?: string;
  teacherModel: string;
  teacherKeyEnv: string;
  teacherTimeout: string;
  teacherBudget?: number;
  teacherPrice?: string;
  threshold?: number;
  agreement?: number;
  mode: CascadeMode;
  share: number;
  recordTo: string;
}

export function cascadeOptions(command: Command): Command {
  return command
    .option('--teacher <url>', 'OpenAI-compatible endpoint that answers what the student is unsure of')
    .option('--teacher-model <name>', 'model to ask there', 'gpt-4o')
    .option('--teacher-key-env <variable>', 'environment variable that holds its key', 'OPENAI_API_KEY')
    .option('--teacher-timeout <duration>', 'after which the student answers', '60s')
    .option('--teacher-budget <usd>', 'most US dollars an hour; then the student answers', numberOption(0))
    .option('--teacher-price <in,out>', 'USD per million input and output tokens, e.g. 2.5,10')
    .option(
      '--threshold <p>',
      'confidence from which the student answers, instead of the calibrated one',
      numberOption(0, 1),
    )
    .option(
      '--agreement <n>',
      'also draw n further answers and see how many say the same: n answers more for each request; needs `evaluate --cascade --agreement n`',
      integerOption(1, 16),
    )
    .addOption(
      new Option(
        '--mode <name>',
        'cascade; shadow: the teacher answers, the student beside it; canary: a share of callers',
      )
        .choices(['cascade', 'shadow', 'canary'])
        .default('cascade'),
    )
    .option('--share <percent>', 'of the callers that the student answers as a canary', numberOption(0, 100), 10)
    .option('--record-to <file>', "the teacher's answers, for the next `cupel run`", '.cupel/cascade.jsonl');
}

/**
 * The server's settings; `checked`: on the test split the calibrated cascade kept 95% of the teacher's quality, by a file that is signed by a trusted key.
 * @throws CupelError when the model has no calibration of its own
 */
export async function cascadeSettings(
  model: string,
  choices: CascadeChoices,
): Promise<{ settings: CascadeSettings; checked: boolean }> {
  const { teacherModel, mode, share, teacherBudget, threshold } = choices;
  const file = readCascade(model, await sha256File(model));
  const fitted = choices.agreement ? withAgreement(file, choices.agreement, cascadeFileOf(model)) : file;
  const sequence = new RatioSequence();
  const settings: CascadeSettings = {
    mode,
    teacher: {
      url: checkedUrl(choices.teacher!),
      model: teacherModel,
      apiKey: process.env[choices.teacherKeyEnv] || undefined,
      timeoutMs: 1000 * parseDuration(choices.teacherTimeout, '--teacher-timeout'),
    },
    calibration: fitted.calibration,
    agreement: choices.agreement,
    threshold: threshold ?? fitted.threshold,
    share: share / 100,
    usdPerHour: teacherBudget,
    usdOf: usdOf(teacherModel, choices.teacherPrice),
    record: recorder(resolve(choices.recordTo)),
    paired: { add: (student, teacher) => sequence.add(student, teacher), bounds: () => sequence.bounds() },
  };
  return {
    settings,
    checked: mode === 'cascade' && threshold === undefined && isBelieved(file) && fitted.test.lower95 >= 0.95,
  };
}

/** @throws CupelError when the model was not evaluated with so many further answers */
function withAgreement({ agreement }: CascadeFile, samples: number, file: string) {
  if (agreement?.samples === samples) return agreement;
  const known = agreement ? `with ${agreement.samples} further answers, not ${samples}` : 'without further answers';
  throw new CupelError(`the confidence of this model was fitted ${known}`, {
    place: { file, field: '--agreement' },
    remedy: `fit it: cupel evaluate MODEL DATASET --cascade --agreement ${samples}`,
    exitCode: 2,
  });
}

function checkedUrl(url: string): string {
  if (URL.canParse(url) && /^https?:/.test(url)) return url;
  throw new CupelError(`not an address: ${url}`, {
    place: { field: '--teacher' },
    remedy: 'give the base URL of the API, e.g. https://api.openai.com/v1',
    exitCode: 2,
  });
}

function usdOf(model: string, given: string | undefined): (usage: TeacherUsage) => number {
  const { input, output, cached = input } = given ? parseTeacherPrice(given) : priceOf(model);
  return ({ prompt_tokens = 0, completion_tokens = 0, prompt_tokens_details }) => {
    const hits = Math.min(prompt_tokens, prompt_tokens_details?.cached_tokens ?? 0);
    return ((prompt_tokens - hits) * input + hits * cached + completion_tokens * output) / 1e6;
  };
}

/** Appends redacted rows, one line each; a full disk costs the row, not the answer. */
function recorder(file: string): (row: object) => void {
  mkdirSync(dirname(file), { recursive: true });
  const redactor = new Redactor({ key: loadRedactionKey(join(dirname(file)), process.env.CUPEL_REDACTION_KEY) });
  return (row) => {
    try {
      appendFileSync(file, `${JSON.stringify(redactor.value(row, {}))}\n`, { mode: 0o600 });
    } catch (error) {
      process.stderr.write(`cannot record to ${file}: ${(error as Error).message}\n`);
    }
  };
}
