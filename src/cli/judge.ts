// The judge on the command line: which endpoint, with whose key, checked against whose labels.
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { CupelError } from '../base/errors.ts';
import { type JudgeSetup, readHumanLabels } from '../evaluate/judged.ts';
import { remoteCompleter } from '../evaluate/remote.ts';
import { fileInput } from './stages.ts';

export interface JudgeChoices {
  judgeUrl?: string;
  judgeModel?: string;
  judgeKeyEnv?: string;
  judgeLabels?: string;
}

export function judgeOptions(command: Command): Command {
  return command
    .option('--judge-url <url>', 'OpenAI-compatible endpoint of the scorer "judge", e.g. https://api.openai.com/v1')
    .option('--judge-model <name>', 'its model')
    .option('--judge-key-env <name>', 'environment variable that holds its key')
    .option('--judge-labels <file>', 'JSON lines {"id", "prefers": student|teacher|tie} by people, for its agreement');
}

interface Judge {
  setup: JudgeSetup;
  /** What makes this evaluation another one. */
  identity: { judge: string };
  inputs: Record<string, string>;
}

/** @throws CupelError (exit code 2) where the endpoint, the model or the key is not given */
export async function openJudge(workspace: string, choices: JudgeChoices): Promise<Judge> {
  const { judgeUrl: baseUrl, judgeModel: model, judgeKeyEnv, judgeLabels } = choices;
  if (!baseUrl || !URL.canParse(baseUrl) || !model) {
    throw missing(baseUrl && model ? 'not a URL' : 'the scorer "judge" needs an endpoint and a model', '--judge-url');
  }
  const apiKey = judgeKeyEnv ? process.env[judgeKeyEnv] : undefined;
  if (judgeKeyEnv && !apiKey) throw missing(`${judgeKeyEnv} is not set`, '--judge-key-env');
  const labels = judgeLabels ? await readHumanLabels(resolve(judgeLabels)) : undefined;
  return {
    setup: {
      completer: remoteCompleter({ baseUrl, model, apiKey }),
      cacheFile: join(workspace, 'judgements.jsonl'),
      ...(labels ? { labels } : {}),
    },
    identity: { judge: `${model} at ${new URL(baseUrl).host}` },
    inputs: judgeLabels ? { judgeLabels: await fileInput(resolve(judgeLabels)) } : {},
  };
}

function missing(message: string, field: string): CupelError {
  const remedy =
    'e.g. --scorer judge --judge-url https://api.openai.com/v1 --judge-model gpt-4o --judge-key-env OPENAI_API_KEY';
  return new CupelError(message, { place: { field }, remedy, exitCode: 2 });
}
