// The Ollama Modelfile beside a GGUF file: `ollama create NAME -f FILE.Modelfile` serves the model as it was evaluated.
import { basename } from 'node:path';
import { writeFileDurably } from '../base/durable.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { addsFirstToken } from '../formats/tokenizer-metadata.ts';
import { ollamaTemplate } from './ollama-template.ts';

/** Writes `NAME.Modelfile` beside `NAME.gguf`. @returns its path */
export function writeModelfile(gguf: string, model: Checkpoint): string {
  const path = gguf.replace(/\.gguf$/i, '.Modelfile');
  writeFileDurably(path, modelfile(basename(gguf), model));
  return path;
}

/** @param file name of the GGUF file beside it */
export function modelfile(file: string, model: Checkpoint): string {
  const { chatTemplate } = model;
  const template = chatTemplate === undefined ? undefined : templateOf(chatTemplate, model);
  const stops = chatTemplate === undefined ? [] : endsOf(model);
  return [
    `# Made by Cupel. To serve it: ollama create ${file.replace(/\.gguf$/i, '').toLowerCase()} -f ${file.replace(/\.gguf$/i, '.Modelfile')}`,
    `FROM ./${file}`,
    ...(template === undefined ? ['# no TEMPLATE: Ollama takes the chat template of the file'] : []),
    ...(template === undefined ? [] : [`TEMPLATE """${template}"""`]),
    ...stops.map((stop) => `PARAMETER stop ${JSON.stringify(stop)}`),
    '# answers as they were evaluated: greedily',
    'PARAMETER temperature 0',
    ...(model.licence === undefined ? [] : [`LICENSE ${JSON.stringify(model.licence)}`]),
    '',
  ].join('\n');
}

function templateOf(jinja: string, { tokenizer }: Checkpoint): string | undefined {
  const { templateVariables } = tokenizer;
  return ollamaTemplate(jinja, templateVariables, addsFirstToken(tokenizer) ? templateVariables.bos_token : undefined);
}

function endsOf({ tokenizer }: Checkpoint): string[] {
  return tokenizer.endIds.flatMap((id) => tokenizer.tokenOf(id) ?? []);
}
