// The compress stage: merges an adapter into its base, tensor by tensor, and writes GGUF files that llama.cpp loads.
import { statSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import { type Progress, silent } from '../base/progress.ts';
import type { Checkpoint } from '../formats/checkpoint.ts';
import { dequantize } from '../formats/dequantize.ts';
import { familyOfArchitecture } from '../formats/families/families.ts';
import type { Link } from '../formats/families/family.ts';
import type { Gguf, GgufTensor } from '../formats/gguf.ts';
import type { GgufMetadata } from '../formats/gguf-metadata.ts';
import { required, stringAt } from '../formats/gguf-values.ts';
import { writeGguf } from '../formats/gguf-write.ts';
import { type PeftAdapter, readPeft } from '../formats/peft.ts';
import { type QuantizedType, quantize } from '../formats/quantize.ts';
import { rowsToInterleaved } from '../formats/rotary-rows.ts';

/** Raise when the same input gives other files. */
export const COMPRESS_VERSION = 1;

/** What `--type` takes, and `general.file_type` of llama.cpp for each. */
const FILE_TYPES: Record<string, { matrix: QuantizedType; embedding: QuantizedType; number: number }> = {
  f16: { matrix: 'F16', embedding: 'F16', number: 1 },
  q8_0: { matrix: 'Q8_0', embedding: 'Q8_0', number: 7 },
  // the embedding is also the output head of small students: 4 bits there cost the most
  q4_0: { matrix: 'Q4_0', embedding: 'Q8_0', number: 2 },
};

export interface CompressRun {
  /** A GGUF base. */
  base: Checkpoint;
  /** Folder with adapter_config.json and adapter_model.safetensors; without it the base is only rewritten. */
  adapter?: string;
  /** f16, q8_0, q4_0 */
  types: readonly string[];
  folder: string;
  progress?: Progress;
  signal?: AbortSignal;
}

export interface CompressFacts extends Record<string, unknown> {
  parameters: number;
  files: { type: string; name: string; bytes: number; relativeError: number }[];
}

/**
 * Writes `<base>-<type>.gguf` for each type; metadata, tokenizer and chat template are the base's. Never holds more than one tensor.
 * @throws CupelError for an unknown type, an adapter that does not fit, or a base that is no GGUF
 */
export async function compress(run: CompressRun): Promise<CompressFacts> {
  const { base, types, folder } = run;
  const gguf = base.gguf;
  if (!gguf) {
    throw new CupelError('only a GGUF base can be written as GGUF so far', {
      place: { file: base.path },
      remedy: 'give the GGUF file of the same model as --student',
    });
  }
  const merge = prepareMerge(base, gguf, run.adapter === undefined ? undefined : readPeft(run.adapter));
  const files: CompressFacts['files'] = [];
  for (const [index, type] of types.entries()) {
    run.signal?.throwIfAborted();
    const name = `${stemOf(base.path)}-${type}.gguf`;
    const relativeError = writeType(gguf, merge, type, join(folder, name));
    files.push({ type, name, bytes: statSync(join(folder, name)).size, relativeError });
    (run.progress ?? silent)({ stage: 'compress', done: index + 1, total: types.length, unit: 'files', message: name });
  }
  const parameters = [...gguf.tensors.values()].reduce((sum, tensor) => sum + tensor.elements, 0);
  return { parameters, files };
}

/** A tensor of the file as float32, in the file's own order of rows, with the adapter added. */
type Merge = (tensor: GgufTensor) => Float32Array;

function prepareMerge(base: Checkpoint, gguf: Gguf, adapter: PeftAdapter | undefined): Merge {
  const family = familyOfArchitecture(
    required(stringAt(gguf.metadata, 'general.architecture'), 'general.architecture'),
  );
  const links = new Map(
    family
      .tensors(base.config)
      .links.filter((link) => !link.stack)
      .map((link) => [link.gguf, link]),
  );
  const known = new Set([...links.values()].map((link) => link.hf));
  for (const module of adapter?.pairs.keys() ?? []) {
    if (!known.has(`${module}.weight`)) {
      throw new CupelError('the base model has no such module', {
        place: { field: module },
        remedy: 'give the base that the adapter was trained on',
      });
    }
  }
  return (tensor) => {
    const values = dequantize(tensor.type, gguf.readRaw(tensor.name));
    const link = links.get(tensor.name);
    if (adapter && link) addDelta(values, link, adapter);
    return values;
  };
}

/** values += alpha / rank * B A, in the row order of the file. */
function addDelta(values: Float32Array, { hf, shape, interleave }: Link, { rank, alpha, pairs }: PeftAdapter): void {
  const pair = pairs.get(hf.replace(/\.weight$/, ''));
  if (!pair) return;
  const [outputs, inputs] = shape;
  if (pair.outputs !== outputs || pair.inputs !== inputs) {
    throw new CupelError(`the adapter has shape [${pair.outputs},${pair.inputs}], the model [${outputs},${inputs}]`, {
      place: { field: hf },
      remedy: 'give the base that the adapter was trained on',
    });
  }
  const B = interleave ? rowsToInterleaved(pair.B, outputs, interleave.heads) : pair.B;
  const scale = alpha / rank;
  for (let n = 0; n < outputs; n++) {
    for (let r = 0; r < rank; r++) {
      const factor = scale * B[n * rank + r];
      if (factor === 0) continue;
      for (let k = 0; k < inputs; k++) values[n * inputs + k] += factor * pair.A[r * inputs + k];
    }
  }
}

/** Returns the relative error of the quantised matrices: ||written - merged|| / ||merged||. */
function writeType(gguf: Gguf, merge: Merge, type: string, path: string): number {
  const plan = FILE_TYPES[type];
  if (!plan) {
    throw new CupelError(`no such GGUF type: ${type}`, {
      place: { field: '--type' },
      remedy: `choose from ${Object.keys(FILE_TYPES).join(', ')}`,
      exitCode: 2,
    });
  }
  const error = { square: 0, total: 0 };
  const tensors = [...gguf.tensors.values()].map((tensor) => {
    const target = targetType(tensor, plan);
    const read = () => {
      const values = merge(tensor);
      const bytes = quantize(target, values);
      if (target !== 'F32') addError(error, values, dequantize(target, bytes));
      return bytes;
    };
    return { name: tensor.name, type: target, shape: tensor.shape, read };
  });
  writeGguf(path, metadataFor(gguf, plan.number), tensors);
  return error.total === 0 ? 0 : Math.sqrt(error.square / error.total);
}

function targetType(
  { name, shape }: GgufTensor,
  plan: { matrix: QuantizedType; embedding: QuantizedType },
): QuantizedType {
  if (shape.length < 2) return 'F32';
  const wanted = /^(token_embd|output)\.weight$/.test(name) ? plan.embedding : plan.matrix;
  // a row that is not whole blocks cannot be quantised
  return shape[shape.length - 1] % 32 === 0 ? wanted : 'F16';
}

function addError(error: { square: number; total: number }, values: Float32Array, written: Float32Array): void {
  for (let i = 0; i < values.length; i++) {
    error.square += (written[i] - values[i]) ** 2;
    error.total += values[i] ** 2;
  }
}

function metadataFor(gguf: Gguf, fileType: number): GgufMetadata {
  const metadata: GgufMetadata = new Map(gguf.metadata);
  metadata.set('general.file_type', { type: 'u32', value: fileType });
  metadata.set('general.quantization_version', { type: 'u32', value: 2 });
  return metadata;
}

/** `SmolLM2-135M-Instruct` of `SmolLM2-135M-Instruct.Q4_1.gguf`: the old type would be wrong in the new name. */
function stemOf(path: string): string {
  return basename(path)
    .replace(/\.gguf$/i, '')
    .replace(/[.-](?:f32|f16|bf16|i?q\d\w*)$/i, '');
}
