// `cupel evaluate`: the very GGUF file that will be served answers the held-out items.
import { readFileSync } from 'node:fs';
import { join, resolve } from 'node:path';
import { type Command, InvalidArgumentError } from 'commander';
import { type Artifact, listArtifacts, openChecked } from '../artifacts/store.ts';
import { CupelError } from '../base/errors.ts';
import {
  EVALUATE_DEFAULTS,
  EVALUATE_VERSION,
  type EvaluateFacts,
  type EvaluateOptions,
  evaluate,
} from '../evaluate/evaluate.ts';
import { openCompleter } from '../serve/completer.ts';
import { describeCascade, keepCascade } from './cascade.ts';
import { type JudgeChoices, judgeOptions, openJudge } from './judge.ts';
import { integerOption } from './numbers.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileInput, type MadeArtifact, stage } from './stages.ts';
import { formatTable } from './table.ts';
import { openTokenizer } from './tokens.ts';

interface ScoringChoices {
  scorer: string;
  maxTokens: number;
  requireAllFields?: boolean;
  schema?: string;
  tolerance?: EvaluateOptions['tolerance'];
  cluster?: string;
  cascade?: boolean;
  agreement?: number;
  labelSet?: boolean;
}

export type EvaluateChoices = ScoringChoices & JudgeChoices;

export function evaluateOptions(command: Command): Command {
  return judgeOptions(command)
    .option(
      '--scorer <name>',
      'auto looks at the answers; or json, label, exact, normalised, choice, f1, rouge-l, chrf, numeric, regex, judge',
      EVALUATE_DEFAULTS.scorer,
    )
    .option('--max-tokens <n>', 'longest answer; 0 takes twice the longest training answer', integerOption(0), 0)
    .option('--require-all-fields', 'JSON: an answer counts only if all of its fields are right')
    .option('--schema <file>', 'JSON: schema that an answer must keep to, or it scores nothing')
    .option(
      '--tolerance <n>',
      'numeric: how far an answer may be off, e.g. 0.01, or 2% of the right one',
      toleranceOption,
    )
    .option('--cluster <tag>', 'rows with the same value of this tag are of one source, and resampled as a whole')
    .option('--cascade', 'fit when to hand over to the teacher, for `cupel serve --teacher`')
    .option(
      '--agreement <n>',
      'as --cascade, and also fit a confidence to how many of n further answers say the same, which costs about n answers more a request',
      integerOption(1, 16),
    )
    .option(
      '--label-set',
      'hold the student to the answers that the training rows know (serve the same with `labels`)',
    );
}

/** Evaluate as a stage; the model counts by its content, so another file is another evaluation. */
export async function runEvaluate(
  session: Session,
  model: string,
  dataset: { path: string; manifest: { key: string } },
  choices: EvaluateChoices,
): Promise<MadeArtifact> {
  const options = {
    ...EVALUATE_DEFAULTS,
    scorer: choices.scorer,
    maxTokens: choices.maxTokens,
    requireAllFields: choices.requireAllFields ?? false,
    ...(choices.schema && { schema: readSchema(resolve(choices.schema)) }),
    ...(choices.tolerance && { tolerance: choices.tolerance }),
    ...(choices.cluster && { clusterTag: choices.cluster }),
    ...((choices.cascade || choices.agreement) && { cascade: true }),
    ...(choices.agreement && { agreement: choices.agreement }),
    labelSet: choices.labelSet ?? false,
  };
  const judge = options.scorer === 'judge' ? await openJudge(session.workspace, choices) : undefined;
  const identity = await fileInput(model);
  const other = trainedOn(session.workspace, identity, dataset.manifest.key);
  const inputs = {
    model: identity,
    dataset: dataset.manifest.key,
    ...(other && { trainedOn: other.manifest.key }),
    ...judge?.inputs,
  };
  const artifact = await stage(
    session,
    'evaluate',
    EVALUATE_VERSION,
    inputs,
    { ...options, ...judge?.identity },
    async (folder) => {
      const tokenizer = openTokenizer(model);
      const completer = await openCompleter(model);
      try {
        return await evaluate({
          dataset: dataset.path,
          trainedOn: other?.path,
          completer,
          countTokens: (text) => tokenizer.encode(text).length,
          options,
          folder,
          judge: judge?.setup,
          looksFile: join(session.workspace, 'looks.jsonl'),
          progress: session.progress,
          signal: session.signal,
        });
      } finally {
        await completer.close();
      }
    },
  );
  const { cascade, contamination } = artifact.manifest.facts as unknown as EvaluateFacts;
  if (cascade) await keepCascade(model, cascade, contamination.nearDuplicates + contamination.passages);
  return artifact;
}

/** The dataset that a model of this workspace learned from, where it is another one: no test item may stand in that either. */
function trainedOn(workspace: string, model: string, dataset: string): Artifact | undefined {
  const all = listArtifacts(workspace);
  const made = all.find(({ manifest }) =>
    Object.values(manifest.files).some((file) => `sha256:${file.sha256}` === model),
  );
  const learned = all.find(({ manifest }) => made !== undefined && manifest.key === made.manifest.inputs.adapter);
  const key = learned?.manifest.inputs.dataset;
  return key === undefined || key === dataset ? undefined : all.find(({ manifest }) => manifest.key === key);
}

/** `0.01`, or `2%` of the right answer. */
function toleranceOption(text: string): EvaluateOptions['tolerance'] {
  const found = /^(\d+(?:\.\d+)?|\.\d+)(%?)$/.exec(text.trim());
  if (!found) throw new InvalidArgumentError('a number such as 0.01 is needed, or a share such as 2%.');
  const value = Number(found[1]);
  return found[2] ? { absolute: 0, relative: value / 100 } : { absolute: value, relative: 0 };
}

function readSchema(file: string): Record<string, unknown> {
  try {
    const schema: unknown = JSON.parse(readFileSync(file, 'utf8'));
    if (schema !== null && typeof schema === 'object' && !Array.isArray(schema))
      return schema as Record<string, unknown>;
    throw new Error('it is no JSON object');
  } catch (cause) {
    throw new CupelError(`not a JSON schema: ${(cause as Error).message}`, {
      place: { file, field: '--schema' },
      remedy: 'give a file such as {"type": "object", "required": ["intent"]}',
      exitCode: 2,
      cause,
    });
  }
}

export function describeEvaluation(artifact: MadeArtifact): string {
  const { quality, speed, scorer, notes, cascade, contamination } = artifact.manifest.facts as EvaluateFacts;
  const leaked = contamination.nearDuplicates + contamination.passages;
  const interval = (bounds: { lower: number; upper: number }) =>
    `${bounds.lower.toFixed(3)} to ${bounds.upper.toFixed(3)}`;
  return [
    formatTable([
      ['', 'quality', '95% interval'],
      ['student', quality.student.toFixed(3), interval(quality.studentInterval)],
      ['teacher', quality.teacher.toFixed(3), interval(quality.teacherInterval)],
    ]),
    `ratio ${quality.ratio.toFixed(3)}, with 95% confidence at least ${quality.lower95.toFixed(3)} (${quality.n} items, scorer ${scorer})`,
    `${speed.requestsPerSecond.toFixed(2)} requests/s with ${speed.concurrency} at once`,
    ...(cascade ? [describeCascade(artifact, cascade)] : []),
    ...(leaked > 0
      ? [`note: ${leaked} held-out items (nearly) stand in the training rows, so nothing is proven by them`]
      : []),
    ...notes.map((note) => `note: ${note}`),
    artifact.path,
  ].join('\n');
}

export function register(program: Command): void {
  const command = program
    .command('evaluate')
    .description('let a GGUF model answer held-out conversations, greedily, and score it beside its teacher')
    .argument('<model>', 'GGUF file')
    .argument('<dataset>', 'folder that `cupel import` made')
    .addHelpText('after', '\nExample:\n  cupel evaluate student-q8_0.gguf .cupel/artifacts/import-0123456789abcdef');
  evaluateOptions(commonOptions(command)).action(
    (model: string, dataset: string, options: CommonOptions & EvaluateChoices) =>
      withSession(options, async (session) => {
        const artifact = await runEvaluate(session, resolve(model), await openChecked(resolve(dataset)), options);
        print(session.json, { artifact: artifact.path, ...artifact.manifest.facts }, () =>
          describeEvaluation(artifact),
        );
      }),
  );
}
