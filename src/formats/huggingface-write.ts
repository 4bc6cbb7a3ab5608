// Writes a model as a Hugging Face folder that transformers loads: config, safetensors in shards, tokenizer, chat template.
import { copyFileSync, existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { writeFileDurably } from '../base/durable.ts';
import type { Checkpoint } from './checkpoint.ts';
import { rowPieces } from './gguf-parts.ts';
import { DTYPE_BYTES } from './safetensors.ts';
import { type TensorToWrite, type WritableDtype, writeSafetensors } from './safetensors-write.ts';
import { elementsOf, type WeightSource } from './weights.ts';

export interface FolderOptions {
  /** The weights to write: the model's own, or merged ones. */
  weights: WeightSource;
  dtype: WritableDtype;
  /** Most bytes of one safetensors file. */
  shardBytes?: number;
  /** Called as tensors are written. */
  onTensor?: (done: number, total: number) => void;
  signal?: AbortSignal;
}

const SHARD_BYTES = 5e9;
const TORCH: Record<WritableDtype, string> = { F32: 'float32', F16: 'float16', BF16: 'bfloat16' };
/** Taken over as they are from a folder. */
const COMPANIONS = [
  'tokenizer.json',
  'tokenizer_config.json',
  'special_tokens_map.json',
  'tokenizer.model',
  'generation_config.json',
  'chat_template.jinja',
  'chat_template.json',
  'README.md',
  'LICENSE',
];

/** Writes config.json last, so a folder that has it is whole. @throws CupelError when the disk is full */
export function writeHuggingFaceFolder(folder: string, model: Checkpoint, options: FolderOptions): void {
  mkdirSync(folder, { recursive: true });
  writeWeights(folder, tensorsOf(model, options), options);
  if (model.format === 'huggingface') copyCompanions(model.path, folder);
  else writeTokenizer(folder, model);
  const { dtype: _, ...config } = model.config;
  writeJson(folder, 'config.json', { ...config, torch_dtype: TORCH[options.dtype] });
}

function tensorsOf(model: Checkpoint, { weights, dtype, onTensor, signal }: FolderOptions): TensorToWrite[] {
  const tied = model.config.tie_word_embeddings === true;
  const names = [...weights.names()].filter((name) => !(tied && name === 'lm_head.weight')).sort();
  let done = 0;
  return names.map((name) => ({
    name,
    dtype,
    shape: weights.shape(name),
    *read() {
      for (const values of rowPieces(weights, name)) {
        signal?.throwIfAborted();
        yield values;
      }
      onTensor?.(++done, names.length);
    },
  }));
}

function writeWeights(folder: string, tensors: TensorToWrite[], { shardBytes = SHARD_BYTES }: FolderOptions): void {
  const shards = splitIntoShards(tensors, shardBytes);
  if (shards.length === 1) {
    writeSafetensors(join(folder, 'model.safetensors'), tensors);
    return;
  }
  const map: Record<string, string> = {};
  const number = (n: number) => String(n).padStart(5, '0');
  shards.forEach((shard, i) => {
    const file = `model-${number(i + 1)}-of-${number(shards.length)}.safetensors`;
    writeSafetensors(join(folder, file), shard);
    for (const { name } of shard) map[name] = file;
  });
  const total = tensors.reduce((sum, tensor) => sum + bytesOf(tensor), 0);
  writeJson(folder, 'model.safetensors.index.json', { metadata: { total_size: total }, weight_map: map });
}

function splitIntoShards(tensors: readonly TensorToWrite[], most: number): TensorToWrite[][] {
  const shards: TensorToWrite[][] = [[]];
  let size = 0;
  for (const tensor of tensors) {
    const bytes = bytesOf(tensor);
    if (size > 0 && size + bytes > most) {
      shards.push([]);
      size = 0;
    }
    shards[shards.length - 1].push(tensor);
    size += bytes;
  }
  return shards;
}

const bytesOf = ({ shape, dtype }: TensorToWrite): number => elementsOf(shape) * DTYPE_BYTES[dtype];

function copyCompanions(from: string, to: string): void {
  for (const name of COMPANIONS) if (existsSync(join(from, name))) copyFileSync(join(from, name), join(to, name));
}

function writeTokenizer(folder: string, model: Checkpoint): void {
  const { json, templateVariables, endIds, bosId, padId } = model.tokenizer;
  writeJson(folder, 'tokenizer.json', json);
  writeJson(folder, 'tokenizer_config.json', {
    tokenizer_class: 'PreTrainedTokenizerFast',
    clean_up_tokenization_spaces: false,
    model_max_length: model.config.max_position_embeddings,
    ...templateVariables,
  });
  writeJson(folder, 'generation_config.json', { bos_token_id: bosId, eos_token_id: endIds, pad_token_id: padId });
  if (model.chatTemplate !== undefined) writeFileDurably(join(folder, 'chat_template.jinja'), model.chatTemplate);
  const licence = model.licence === undefined ? '' : `license: ${model.licence}\n`;
  writeFileDurably(join(folder, 'README.md'), `---\n${licence}---\n# ${model.name}\n`);
}

function writeJson(folder: string, name: string, value: unknown): void {
  writeFileDurably(join(folder, name), `${JSON.stringify(value, null, 2)}\n`);
}
