// The compress stage: merges an adapter into its base, tensor by tensor, and writes GGUF files that llama.cpp loads.
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { type Progress, silent } from '../base/progress.ts';
import { withTemplate } from '../formats/base-template.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { readPeft } from '../formats/peft.ts';
import { mergeAdapter } from './merge.ts';
import { writeModelfile } from './modelfile.ts';
import { precisionOf } from './precision.ts';
import { writeGgufModel } from './write-gguf-model.ts';

/** Raise when the same input gives other files. */
export const COMPRESS_VERSION = 2;

export interface CompressRun {
  /** A GGUF file or a Hugging Face folder. */
  base: Checkpoint;
  /** Folder with adapter_config.json and adapter_model.safetensors; without it the base is only rewritten. */
  adapter?: string;
  /** f32, f16, bf16, q8_0, q4_0 */
  types: readonly string[];
  folder: string;
  progress?: Progress;
  signal?: AbortSignal;
}

export interface CompressFacts extends Record<string, unknown> {
  parameters: number;
  files: { type: string; name: string; bytes: number; relativeError: number }[];
  /** What llama.cpp will compute otherwise than the original model. */
  notes: string[];
}

/**
 * Writes `<base>-<type>.gguf` for each type, and an Ollama Modelfile beside each; metadata, tokenizer and chat template are the
 * base's. Never holds more than a piece of one tensor.
 * @throws CupelError for an unknown type, an adapter that does not fit, or a base that GGUF has no place for
 */
export async function compress(run: CompressRun): Promise<CompressFacts> {
  const { base, types, folder } = run;
  for (const type of types) precisionOf(type);
  const weights = run.adapter === undefined ? base.weights : mergeAdapter(base.weights, readPeft(run.adapter));
  // an adapter was trained on conversations, so the merged model knows their form even where its base had none
  const model = run.adapter === undefined ? base : withTemplate(base);
  const files: CompressFacts['files'] = [];
  let parameters = 0;
  let notes: string[] = [];
  for (const [index, type] of types.entries()) {
    run.signal?.throwIfAborted();
    const name = `${stemOf(base.path)}-${type}.gguf`;
    const path = join(folder, name);
    const written = writeGgufModel(path, model, { type, weights, signal: run.signal });
    writeModelfile(path, model);
    ({ parameters, notes } = written);
    files.push({ type, name, bytes: statSync(path).size, relativeError: written.relativeError });
    (run.progress ?? silent)({ stage: 'compress', done: index + 1, total: types.length, unit: 'files', message: name });
  }
  return { parameters, files, notes };
}

/** `SmolLM2-135M-Instruct` of `SmolLM2-135M-Instruct.Q4_1.gguf`: the old type would be wrong in the new name. */
function stemOf(path: string): string {
  return basename(path)
    .replace(/\.gguf$/i, '')
    .replace(/[.-](?:f32|f16|bf16|i?q\d\w*)$/i, '');
}
