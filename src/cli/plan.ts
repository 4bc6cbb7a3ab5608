// `cupel plan`: what a student, and its teacher, need on a device, by a roofline whose terms are printed.
import { existsSync } from 'node:fs';
import type { Command } from 'commander';
import { formatBytes, formatDuration } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import { CONFIGS } from '../catalog/configs.ts';
import { ENTRIES } from '../catalog/entries.ts';
import { PRECISION_NAMES } from '../compress/precision.ts';
import { openCheckpoint } from '../formats/checkpoint.ts';
import type { ConfigJson } from '../formats/weights.ts';
import { integerOption } from './numbers.ts';
import { type Device, findDevice, PRESETS } from './plan/device.ts';
import type { Estimate } from './plan/estimate.ts';
import { type ModelSize, modelSize } from './plan/model-size.ts';
import { planServing, type ServingEstimate, type ServingLoad } from './plan/serving.ts';
import { planTraining, type TrainingEstimate, type TrainingLoad } from './plan/training.ts';
import { print } from './session.ts';
import { DEFAULT_STUDENT } from './student.ts';
import { formatTable } from './table.ts';

interface Choices {
  student: string;
  teacher?: string;
  device: string;
  users: number;
  context: number;
  tokens: number;
  batchTokens: number;
  length: number;
  rank: number;
  json?: boolean;
}

export function register(program: Command): void {
  program
    .command('plan')
    .description('memory and time of training and serving a model on a device, estimated by a roofline; says what fits')
    .option('-s, --student <name>', 'catalog name, GGUF file or Hugging Face folder', DEFAULT_STUDENT)
    .option('-t, --teacher <name>', 'a model to serve beside it, to answer the training conversations')
    .option(
      '-d, --device <name>',
      `this, ${PRESETS.map(({ name }) => name).join(', ')}, or memory=80,bandwidth=2000,flops=300`,
      'this',
    )
    .option('--users <n>', 'users served at once', integerOption(1, 100_000), 8)
    .option('--context <tokens>', "tokens of each user's conversation", integerOption(1), 2048)
    .option('--tokens <n>', 'tokens to train on', integerOption(1), 1_000_000)
    .option('--batch-tokens <n>', 'tokens of a training batch', integerOption(1), 666)
    .option('--length <tokens>', 'tokens of a training conversation', integerOption(1), 346)
    .option('--rank <n>', 'LoRA rank', integerOption(1), 8)
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  cupel plan --student qwen2.5-0.5b-instruct --teacher qwen2-72b-instruct --device a100-80g',
    )
    .action(async (choices: Choices) => {
      const device = await findDevice(choices.device);
      const plan = makePlan(choices, device);
      print(choices.json ?? false, plan, () => describePlan(plan, choices));
    });
}

interface Plan {
  device: Device;
  student: {
    name: string;
    parameters: number;
    active: number;
    training: TrainingEstimate[];
    serving: ServingEstimate[];
  };
  teacher?: { name: string; parameters: number; active: number; serving: ServingEstimate[] };
}

/** F32 is for checks; nobody serves it. */
const SERVED = PRECISION_NAMES.filter((name) => name !== 'f32' && name !== 'bf16');

function makePlan(choices: Choices, device: Device): Plan {
  const load: ServingLoad = choices;
  const training: TrainingLoad = choices;
  const student = modelSize(configOf(choices.student));
  const serve = (model: ModelSize) => SERVED.map((type) => planServing(model, type, device, load));
  const facts = ({ total, active }: ModelSize) => ({ parameters: total, active });
  const teacher = choices.teacher === undefined ? undefined : modelSize(configOf(choices.teacher));
  return {
    device,
    student: {
      name: choices.student,
      ...facts(student),
      training: (['lora', 'full'] as const).map((method) => planTraining(student, method, device, training)),
      serving: serve(student),
    },
    ...(teacher ? { teacher: { name: choices.teacher!, ...facts(teacher), serving: serve(teacher) } } : {}),
  };
}

function configOf(name: string): ConfigJson {
  const known = CONFIGS[name.toLowerCase()];
  if (known) return known;
  if (!existsSync(name)) {
    throw new CupelError(`there is no file, folder or catalog entry "${name}"`, {
      remedy: `give a path, or one of: ${ENTRIES.map((entry) => entry.name).join(', ')}`,
      exitCode: 2,
    });
  }
  const model = openCheckpoint(name);
  model.close();
  return model.config;
}

function describePlan({ device, student, teacher }: Plan, choices: Choices): string {
  const { name, source, memoryBytes, bandwidth, reached } = device;
  const rate = (value: number) =>
    `${value >= 1e12 ? `${(value / 1e12).toFixed(0)} T` : `${(value / 1e9).toFixed(0)} G`}`;
  return [
    `device: ${name} (${source}): ${formatBytes(memoryBytes)}, ${(bandwidth / 1e9).toFixed(0)} GB/s, ${rate(device.float32)}FLOP/s in 32 bits, ${rate(device.float16)}FLOP/s in 16, ${rate(device.int8)}OP/s in 8; counted on: ${100 * reached.bandwidth}% of the bandwidth, ${100 * reached.compute}% of the arithmetic`,
    ...student.training.flatMap((plan) => [
      '',
      `train ${student.name}, ${plan.method === 'lora' ? `LoRA of rank ${choices.rank}` : 'all weights'}: ${fits(plan, device)}; ${short(plan.tokensPerSecond)} tokens/s, ${choices.tokens} tokens in ${formatDuration(choices.tokens / plan.tokensPerSecond)}`,
      terms(plan),
    ]),
    ...[student, ...(teacher ? [teacher] : [])].flatMap((model) => describeServing(model, device, choices)),
  ].join('\n');
}

function describeServing(
  model: { name: string; serving: ServingEstimate[] },
  device: Device,
  { users, context }: Choices,
): string[] {
  return model.serving.flatMap((plan) => [
    '',
    `serve ${model.name} in ${plan.type} to ${users} users with ${context} tokens each: ${fits(plan, device)}; ${short(plan.tokensPerSecond)} tokens/s in all, ${short(plan.perUser)} each; prompts ${short(plan.promptTokensPerSecond)} tokens/s`,
    terms(plan),
  ]);
}

function fits({ memoryBytes }: Estimate, device: Device): string {
  const need = formatBytes(memoryBytes);
  if (memoryBytes <= device.memoryBytes) return `fits, ${need} of ${formatBytes(device.memoryBytes)}`;
  const devices = Math.ceil(memoryBytes / device.memoryBytes);
  return `DOES NOT FIT, ${need} on ${formatBytes(device.memoryBytes)} (${devices} such devices would hold it)`;
}

function terms({ memory, time, stepSeconds }: Estimate): string {
  const seconds = (value: number) => (value >= 1 ? `${value.toFixed(2)} s` : `${(1000 * value).toFixed(2)} ms`);
  return formatTable([
    ...memory.map(({ name, value, how }) => ['  memory', name, formatBytes(value), how]),
    ...time.map(({ name, value, how }) => ['  time', name, seconds(value), how]),
    ['  time', 'one step', seconds(stepSeconds), ''],
  ]);
}

const short = (value: number): string => (value >= 100 ? value.toFixed(0) : value.toPrecision(2));
