// `cupel bench`: a benchmark task on a GGUF file, or its items as conversations to import.
import { statSync } from 'node:fs';
import { resolve } from 'node:path';
import type { Command } from 'commander';
import { writeFileDurably } from '../base/durable.ts';
import { toJsonl } from '../base/jsonl.ts';
import { datasetReference, fetchDataset } from '../catalog/dataset.ts';
import { taskItems, toExamples } from '../evaluate/tasks/items.ts';
import { namesWanted } from '../evaluate/tasks/rows.ts';
import { runTask, scoreRecorded, type TaskResult } from '../evaluate/tasks/run.ts';
import { readTask, type Task, taskNames } from '../evaluate/tasks/task.ts';
import { openCompleter } from '../serve/completer.ts';
import { integerOption } from './numbers.ts';
import { drawProgress } from './progress.ts';
import { interruptSignal, print } from './session.ts';

interface BenchChoices {
  model?: string;
  fewShot?: number;
  limit?: number;
  export?: string;
  output?: string;
  json?: boolean;
}

function describe({ task, n, score, interval, accuracyNormalised }: TaskResult): string {
  const bounds = `95% interval ${interval.lower.toFixed(3)} to ${interval.upper.toFixed(3)}`;
  const normalised = accuracyNormalised === undefined ? '' : `, by character ${accuracyNormalised.toFixed(3)}`;
  return `${task}: ${score.toFixed(3)} (${n} items, ${bounds})${normalised}`;
}

async function benchmark(name: string, data: string, options: BenchChoices): Promise<void> {
  const task = readTask(name);
  const folder = await folderOf(task, data);
  const items = await taskItems(task, folder, options);
  if (options.fewShot === undefined && task.fewShot?.count && statSync(folder).isFile())
    process.stderr.write(
      `note: no examples before each item, where ${name} has ${task.fewShot.count}: a single file holds none; give its folder\n`,
    );
  if (options.export) {
    writeFileDurably(resolve(options.export), toJsonl(toExamples(task, items)));
    process.stderr.write(`${items.length} conversations: ${options.export}\n`);
    return;
  }
  const result = options.model ? await onModel() : scoreRecorded(task, items);
  if (options.output) writeFileDurably(resolve(options.output), `${JSON.stringify(result, null, 2)}\n`);
  print(options.json ?? false, result, () => describe(result));

  async function onModel(): Promise<TaskResult> {
    const completer = await openCompleter(resolve(options.model!));
    const { signal, dispose } = interruptSignal();
    const drawing = drawProgress(process.stderr);
    try {
      return await runTask({ task, items, completer, signal, progress: drawing.progress });
    } finally {
      drawing.end();
      dispose();
      await completer.close();
    }
  }
}

/** A folder as it is; a data set of the hub is fetched first, the task's files of it. */
async function folderOf({ files }: Task, data: string): Promise<string> {
  const reference = datasetReference(data);
  if (!reference) return resolve(data);
  const { signal, dispose } = interruptSignal();
  const drawing = drawProgress(process.stderr);
  const choose = (names: readonly string[]) => namesWanted(names, [files.test, files.fewShot ?? []]);
  try {
    return await fetchDataset(reference, { choose, progress: drawing.progress, signal });
  } finally {
    drawing.end();
    dispose();
  }
}

export function register(program: Command): void {
  program
    .command('bench')
    .description('run a benchmark task on a GGUF model; without --model, score the answers recorded in the data')
    .argument('<task>', `${taskNames().join(', ')}, or a task file`)
    .argument('<data>', 'folder with the data as published, or hf://datasets/OWNER/NAME')
    .option('--model <file>', 'GGUF file')
    .option('--few-shot <n>', 'examples before each item; the task says how many without it', integerOption(0))
    .option('--limit <n>', 'only the first items', integerOption(1))
    .option('--export <file>', 'write the items as conversations for `cupel import` instead')
    .option('-o, --output <file>', "write every item's answer as JSON")
    .option('--json', 'one JSON document on stdout')
    .addHelpText(
      'after',
      '\nExample:\n  cupel bench mmlu ~/data/mmlu --model student.gguf --limit 200\n  cupel bench lawbench-2-4 ~/data/lawbench\n  cupel bench banking77 hf://datasets/PolyAI/banking77 --model student.gguf',
    )
    .action(benchmark);
}
