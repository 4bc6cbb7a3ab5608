// PEFT LoRA adapters: adapter_config.json and adapter_model.safetensors, as the Python library reads and writes them.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { z } from 'zod';
import { writeFileDurably } from '../base/durable.ts';
import { CupelError } from '../base/errors.ts';
import { openSafetensors } from './safetensors.ts';
import { writeSafetensors } from './safetensors-write.ts';

/** One adapted projection: y += alpha / rank * x A^T B^T. */
export interface AdapterPair {
  /** [rank, in] */
  A: Float32Array;
  /** [out, rank] */
  B: Float32Array;
  inputs: number;
  outputs: number;
}

export interface PeftAdapter {
  rank: number;
  alpha: number;
  /** Name or path of the base model. */
  base: string;
  /** Hugging Face module, e.g. `model.layers.0.mlp.up_proj` -> its matrices. */
  pairs: ReadonlyMap<string, AdapterPair>;
}

const PREFIX = 'base_model.model.';
const CONFIG = 'adapter_config.json';
const WEIGHTS = 'adapter_model.safetensors';

const AdapterConfig = z.looseObject({
  peft_type: z.literal('LORA'),
  r: z.number().int().positive(),
  lora_alpha: z.number(),
  base_model_name_or_path: z.string().nullish(),
  use_rslora: z.boolean().optional(),
});

/** Settings that change what an adapter computes beyond alpha / r * B A, and the values that leave it alone. */
const HARMLESS: Readonly<Record<string, (value: unknown) => boolean>> = {
  use_dora: (value) => value === false,
  use_bdlora: (value) => value === false,
  rank_pattern: isEmpty,
  alpha_pattern: isEmpty,
  bias: (value) => value === 'none',
  lora_bias: (value) => value === false,
  modules_to_save: isEmpty,
  fan_in_fan_out: (value) => value === false,
  trainable_token_indices: isEmpty,
  layer_replication: isEmpty,
  target_parameters: isEmpty,
};

function isEmpty(value: unknown): boolean {
  return typeof value === 'object' && value !== null && Object.keys(value).length === 0;
}

/** Writes both files into `folder`, the weights first. @throws CupelError when the disk is full */
export function writePeft(folder: string, { rank, alpha, base, pairs }: PeftAdapter): void {
  const tensors = [...pairs].flatMap(([module, { A, B, inputs, outputs }]) => [
    { name: `${PREFIX}${module}.lora_A.weight`, dtype: 'F32' as const, shape: [rank, inputs], read: () => A },
    { name: `${PREFIX}${module}.lora_B.weight`, dtype: 'F32' as const, shape: [outputs, rank], read: () => B },
  ]);
  writeSafetensors(join(folder, WEIGHTS), tensors);
  const config = {
    peft_type: 'LORA',
    task_type: 'CAUSAL_LM',
    base_model_name_or_path: base,
    r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    target_modules: [...new Set([...pairs.keys()].map((module) => module.split('.').at(-1)!))].sort(),
    layers_to_transform: layersOf(pairs.keys()),
    bias: 'none',
    fan_in_fan_out: false,
    init_lora_weights: true,
    inference_mode: true,
    modules_to_save: null,
    use_rslora: false,
    use_dora: false,
  };
  writeFileDurably(join(folder, CONFIG), `${JSON.stringify(config, null, 2)}\n`);
}

/** The numbers of the layers that have an adapter; null when a module stands outside the layers. */
function layersOf(modules: Iterable<string>): number[] | null {
  const numbers = new Set<number>();
  for (const module of modules) {
    const found = module.match(/\.layers\.(\d+)\./);
    if (!found) return null;
    numbers.add(Number(found[1]));
  }
  return [...numbers].sort((a, b) => a - b);
}

/** @throws CupelError when a file is missing or damaged, or the adapter is of a kind that is not supported */
export function readPeft(folder: string): PeftAdapter {
  const config = readConfig(join(folder, CONFIG));
  const file = openSafetensors(join(folder, WEIGHTS));
  try {
    const scaling = config.use_rslora ? Math.sqrt(config.r) : 1;
    const pairs = new Map<string, AdapterPair>();
    for (const name of file.entries.keys()) {
      if (name.endsWith('.lora_B.weight')) continue;
      if (!name.endsWith('.lora_A.weight')) throw unknownTensor(join(folder, WEIGHTS), name);
      const stem = name.slice(0, -'.lora_A.weight'.length);
      const other = `${stem}.lora_B.weight`;
      const a = file.entries.get(name)!.shape;
      const b = file.entries.get(other)?.shape;
      if (!b || a.length !== 2 || b.length !== 2 || a[0] !== config.r || b[1] !== config.r) {
        throw new CupelError(`does not fit rank ${config.r}`, { place: { file: join(folder, WEIGHTS), field: name } });
      }
      const module = stem.startsWith(PREFIX) ? stem.slice(PREFIX.length) : stem;
      pairs.set(module, { A: file.read(name), B: file.read(other), inputs: a[1], outputs: b[0] });
    }
    return { rank: config.r, alpha: config.lora_alpha * scaling, base: config.base_model_name_or_path ?? '', pairs };
  } finally {
    file.close();
  }
}

function readConfig(file: string): z.infer<typeof AdapterConfig> {
  if (!existsSync(file)) {
    throw new CupelError('there is no adapter here', {
      place: { file },
      remedy: 'give the folder that `cupel distill` made',
    });
  }
  let parsed: ReturnType<typeof AdapterConfig.safeParse>;
  try {
    parsed = AdapterConfig.safeParse(JSON.parse(readFileSync(file, 'utf8')));
  } catch (cause) {
    throw new CupelError('not JSON', { place: { file }, cause });
  }
  if (!parsed.success) {
    const issue = parsed.error.issues[0];
    throw new CupelError(issue.message, {
      place: { file, field: issue.path.join('.') },
      remedy: 'only LoRA adapters are supported',
    });
  }
  for (const [field, harmless] of Object.entries(HARMLESS)) {
    const value = parsed.data[field];
    if (value === undefined || value === null || harmless(value)) continue;
    throw new CupelError(`adapters with this setting are not supported: ${JSON.stringify(value).slice(0, 100)}`, {
      place: { file, field },
      remedy: 'merge it into its base with PEFT (merge_and_unload), and give the merged model',
    });
  }
  return parsed.data;
}

function unknownTensor(file: string, field: string): CupelError {
  return new CupelError('is no part of a plain LoRA adapter', {
    place: { file, field },
    remedy: 'merge it into its base with PEFT (merge_and_unload), and give the merged model',
  });
}
