// `cupel distill`: trains a LoRA adapter on the teacher's answers.
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { type Artifact, openChecked } from '../artifacts/store.ts';
import { formatDuration, parseDuration } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import { DISTILL_DEFAULTS, DISTILL_VERSION, type DistillOptions, distill } from '../distill/distill.ts';
import { ENGINES, type EngineChoice } from '../distill/options.ts';
import { usualRate } from '../distill/rate.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import { familyOf } from '../models/families.ts';
import type { ModelConfig, ModelFamily } from '../models/model.ts';
import { DEVICES, type DeviceChoice } from '../runtime/device.ts';
import type { OpTime } from '../runtime/profile.ts';
import { OPTIMISERS, type OptimiserName } from '../train/optimiser.ts';
import { chooseEngine } from './engine.ts';
import { bytesOption, integerOption, numberOption } from './numbers.ts';
import { type CommonOptions, commonOptions, print, type Session, withSession } from './session.ts';
import { fileInput, type MadeArtifact, stage } from './stages.ts';
import { findStudent, type Student, studentOption } from './student.ts';
import { formatTable } from './table.ts';

export interface DistillChoices {
  budget: string;
  rank?: number;
  alpha?: number;
  targets?: string[];
  firstLayer?: number;
  learningRate?: number;
  precision?: DistillOptions['precision'];
  maxEpochs?: number;
  seed?: number;
  batchTokens?: number;
  maxLength?: number;
  steps?: number;
  memory?: number;
  device?: DeviceChoice;
  engine?: EngineChoice;
  profile?: boolean;
  full?: boolean;
  optimizer?: OptimiserName;
  accumulate?: number;
  selectTokens?: number;
  promptWeight?: number;
  ffnDensity?: number;
  ffnSteps?: number;
  layersPerStep?: number;
  layerSteps?: number;
}

export function distillOptions(command: Command): Command {
  return command
    .option('-b, --budget <duration>', 'time to train, e.g. 90s, 10m, 1h', '10m')
    .option('--rank <r>', 'LoRA rank', integerOption(1, 512))
    .option('--alpha <a>', 'LoRA alpha: adapters are scaled by alpha / rank', numberOption(0))
    .option('--targets <names...>', 'projections that get an adapter, e.g. q_proj v_proj')
    .option('--first-layer <n>', 'layers before this one stay as they are, which makes steps cheaper', integerOption(0))
    .option('--learning-rate <rate>', 'peak of the cosine schedule', numberOption(0))
    .addOption(
      new Option(
        '--precision <kind>',
        'of products with weights; weights that are trained stay float32 beside. Default int8, with --full bf16 where the processor has AMX; int4 (QLoRA, not with --full) saves memory together with --memory only',
      ).choices(['int8', 'bf16', 'int4', 'float32']),
    )
    .option('--max-epochs <n>', 'most passes over the training conversations', numberOption(0))
    .option('--batch-tokens <n>', 'tokens of a batch, beside the prefix that conversations share', integerOption(16))
    .option('--max-length <tokens>', 'longest conversation that is trained on', integerOption(16))
    .option(
      '--steps <n>',
      'a fixed number of steps in place of the budget: reruns are then bit-identical',
      integerOption(1),
    )
    .option('--full', 'train every weight in place of an adapter: a model folder comes out')
    .addOption(
      new Option('--optimizer <name>', 'what turns gradients into steps; default adamw, with --full adamw8bit').choices(
        OPTIMISERS,
      ),
    )
    .option('--accumulate <n>', 'batches that make one step, as a batch n times as large would', integerOption(1))
    .option(
      '--select-tokens <share>',
      'answer tokens of a batch that carry loss, e.g. 0.6: the furthest behind',
      numberOption(0.01, 1),
    )
    .option(
      '--prompt-weight <w>',
      "weight of prompt tokens in the loss beside answer tokens' 1, for few conversations; default 0",
      numberOption(0, 1),
    )
    .option('--layers-per-step <n>', 'train so many neighbouring layers at a time: shorter steps', integerOption(1))
    .option('--layer-steps <n>', 'steps until other layers are trained; default 25', integerOption(1))
    .option(
      '--ffn-density <share>',
      'feed-forward channels that take part, e.g. 0.75, chosen as RigL does: a narrower model comes out',
      numberOption(0.05, 1),
    )
    .option('--ffn-steps <n>', 'steps until other channels are tried; default 25', integerOption(1))
    .option('--memory <size>', 'most memory to take, e.g. 2g: layers are computed again until it fits', bytesOption)
    .addOption(new Option('--device <name>', 'what computes; falls back to cpu with the reason').choices(DEVICES))
    .addOption(
      new Option(
        '--engine <name>',
        'what computes on the processor; auto takes the fastest one (openvino is fetched once, cupel trains every weight in bf16 or int8)',
      ).choices(ENGINES),
    )
    .option('--profile', 'measure where the time of the first steps goes')
    .option('--seed <n>', 'of the adapter and the order of conversations', integerOption(0));
}

/** Training on plain text as a stage. @throws CupelError for a budget that is no duration, or a text too short */
async function runText(
  session: Session,
  student: Student,
  text: string,
  choices: DistillChoices,
): Promise<MadeArtifact> {
  const { options, openvino } = await withEngine(session, student, choices);
  const inputs = { student: student.identity, text: await fileInput(text) };
  const { progress, signal } = session;
  return stage(session, 'distill', DISTILL_VERSION, inputs, { ...options }, (folder) =>
    distill({ text, student: student.path, options, openvino, folder, progress, signal }),
  );
}

/** Distill as a stage. @throws CupelError for a budget that is no duration */
export async function runDistill(
  session: Session,
  student: Student,
  dataset: Artifact,
  choices: DistillChoices,
): Promise<MadeArtifact> {
  const { options, openvino } = await withEngine(session, student, choices);
  const inputs = { student: student.identity, dataset: dataset.manifest.key };
  return stage(session, 'distill', DISTILL_VERSION, inputs, { ...options }, (folder) =>
    distill({
      dataset: dataset.path,
      student: student.path,
      options,
      openvino,
      folder,
      progress: session.progress,
      signal: session.signal,
    }),
  );
}

/** The engine is part of what an adapter is made from, so it is known before the artifact has a name. */
async function withEngine(session: Session, student: Student, choices: DistillChoices) {
  const { family, config } = modelOf(student);
  const options = chosen(choices, usualRate(family, config, choices.full, choices.optimizer));
  const asked = { precision: choices.precision !== undefined, experts: family.balance !== undefined };
  return chooseEngine(choices.engine ?? 'auto', options, asked, session);
}

/** Settings of adapters that whole weights do not have. */
const ADAPTERS_ONLY = [
  'rank',
  'alpha',
  'targets',
  'firstLayer',
  'selectTokens',
  'layersPerStep',
  'layerSteps',
  'ffnDensity',
] as const;

/** The option that fills a field. */
function flagOf(field: string): string {
  return `--${field.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
}

function refuseWhatFullIgnores(choices: DistillChoices): void {
  if (choices.full && choices.precision === 'int4')
    throw new CupelError('--full trains every weight, and what is trained cannot have 4 bits', {
      place: { field: '--precision' },
      remedy: 'use --precision int8 or float32, or leave out --full',
      exitCode: 2,
    });
  const idle = ADAPTERS_ONLY.find((name) => choices[name] !== undefined);
  if (!choices.full || !idle) return;
  const field = flagOf(idle);
  throw new CupelError('--full trains every weight, without adapters', {
    place: { field },
    remedy: `leave out ${field} or --full`,
    exitCode: 2,
  });
}

function chosen(choices: DistillChoices, rate: number): DistillOptions {
  refuseWhatFullIgnores(choices);
  if (choices.promptWeight && choices.selectTokens) throw tokensOrPrompts();
  const other = choices.ffnDensity ? ALL_CHANNELS.find((name) => choices[name] !== undefined) : undefined;
  if (other) throw togetherWith('--ffn-density', other);
  const { rank, alpha, targets, firstLayer, learningRate, precision, maxEpochs, seed, batchTokens, steps } = choices;
  const { memory, device, profile, accumulate, full, selectTokens, layersPerStep, layerSteps } = choices;
  const named = { rank, alpha, targets, firstLayer, learningRate, precision, maxEpochs, seed, batchTokens, steps };
  const { ffnDensity, ffnSteps } = choices;
  const promptWeight = choices.promptWeight || undefined;
  const sparse = { selectTokens, layersPerStep, layerSteps, promptWeight, ffnDensity, ffnSteps };
  const optimiser = choices.optimizer ?? (full ? 'adamw8bit' : undefined);
  const more = { memory, device, profile, accumulate, full, optimiser, maxTokens: choices.maxLength, ...sparse };
  const given = Object.entries({ ...named, ...more }).filter(([, value]) => value !== undefined);
  return {
    ...DISTILL_DEFAULTS,
    learningRate: rate,
    ...(Object.fromEntries(given) as Partial<DistillOptions>),
    budgetSeconds: parseDuration(choices.budget, '--budget'),
  };
}

/** What cannot be had together with channels that come and go. */
const ALL_CHANNELS = ['selectTokens', 'layersPerStep', 'firstLayer'] as const;

function togetherWith(option: string, other: string): CupelError {
  const field = flagOf(other);
  return new CupelError(`${option} and ${field} do not go together`, {
    place: { field },
    remedy: 'leave out one of them',
    exitCode: 2,
  });
}

function tokensOrPrompts(): CupelError {
  return new CupelError('--select-tokens chooses among answer tokens only', {
    place: { field: '--prompt-weight' },
    remedy: 'leave out --prompt-weight or --select-tokens',
    exitCode: 2,
  });
}

function modelOf(student: Student): { family: ModelFamily; config: ModelConfig } {
  const model = openCheckpoint(student.path);
  try {
    const family = familyOf(model.config);
    return { family, config: family.parseConfig(model.config) };
  } finally {
    model.close();
  }
}

/** The costliest operators of the first steps, when they were profiled. */
function profileLines({ manifest }: Artifact): string[] {
  const { profile } = manifest.facts as { profile?: readonly OpTime[] };
  if (!profile) return [];
  const rows = profile
    .slice(0, 12)
    .map(({ op, calls, seconds, share }) => [op, String(calls), seconds.toFixed(2), `${(100 * share).toFixed(1)}%`]);
  return [formatTable([['operator', 'calls', 'seconds', 'share'], ...rows])];
}

function requiredDataset(dataset: string | undefined): string {
  if (dataset !== undefined) return dataset;
  throw new CupelError('there is nothing to train on', {
    remedy: 'give the folder that `cupel import` made, or --text FILE',
  });
}

export function register(program: Command): void {
  const command = program
    .command('distill')
    .description("train a LoRA adapter of the student on the teacher's answers, within a budget of time")
    .argument('[dataset]', 'folder that `cupel import` made')
    .option('--text <file>', 'train on plain text instead (continued pre-training)')
    .addHelpText(
      'after',
      '\nExample:\n  cupel distill .cupel/artifacts/import-0123456789abcdef --budget 20m --rank 16',
    );
  distillOptions(studentOption(commonOptions(command))).action(
    (dataset: string | undefined, options: CommonOptions & DistillChoices & { student: string; text?: string }) =>
      withSession(options, async (session) => {
        const student = await findStudent(session, options.student);
        const artifact =
          options.text === undefined
            ? await runDistill(session, student, await openChecked(resolve(requiredDataset(dataset))), options)
            : await runText(session, student, resolve(options.text), options);
        print(session.json, { artifact: artifact.path, ...artifact.manifest.facts }, () =>
          [`trained for ${formatDuration(artifact.manifest.seconds)}`, ...profileLines(artifact), artifact.path].join(
            '\n',
          ),
        );
      }),
  );
}
