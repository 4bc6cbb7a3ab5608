// What a model is, from its headers alone: family, size, precision, context, tokenizer, template, licence.
import { readdirSync, statSync } from 'node:fs';
import { join } from 'node:path';
import type { Checkpoint } from './checkpoint.ts';
import { optionalNumberIn } from './families/config-values.ts';
import { countParameters } from './parameters.ts';
import { openSafetensors } from './safetensors.ts';

export interface ModelDescription {
  name: string;
  path: string;
  format: Checkpoint['format'];
  /** `model_type` of config.json. */
  architecture: string;
  parameters: { total: number; active: number };
  layers: number;
  hiddenSize: number;
  contextTokens: number | undefined;
  vocabulary: number;
  experts?: { routed: number; chosen: number };
  bytes: number;
  /** Share of the bytes of all tensors by type, largest first: what the model is quantised to. */
  precision: { type: string; tensors: number; share: number }[];
  chatTemplate: { characters: number; knowsTools: boolean; knowsThinking: boolean } | undefined;
  licence: string | undefined;
}

export function describeModel(model: Checkpoint): ModelDescription {
  const { config, chatTemplate } = model;
  const { total, active } = countParameters(config);
  const routed = ['num_experts', 'num_local_experts', 'n_routed_experts'].map((field) =>
    optionalNumberIn(config, field),
  );
  const experts = routed.find((count) => count !== undefined);
  return {
    name: model.name,
    path: model.path,
    format: model.format,
    architecture: String(config.model_type),
    parameters: { total, active },
    layers: Number(config.num_hidden_layers),
    hiddenSize: Number(config.hidden_size),
    contextTokens: optionalNumberIn(config, 'max_position_embeddings'),
    vocabulary: Number(config.vocab_size),
    ...(experts === undefined ? {} : { experts: { routed: experts, chosen: Number(config.num_experts_per_tok) } }),
    bytes: bytesOf(model),
    precision: precisionOf(model),
    chatTemplate: chatTemplate === undefined ? undefined : describeTemplate(chatTemplate),
    licence: model.licence,
  };
}

function describeTemplate(template: string) {
  return {
    characters: template.length,
    knowsTools: /\btools\b/.test(template),
    knowsThinking: /<think>|enable_thinking|reasoning_content/.test(template),
  };
}

const shards = (folder: string): string[] => readdirSync(folder).filter((name) => name.endsWith('.safetensors'));

function bytesOf({ format, path }: Checkpoint): number {
  if (format === 'gguf') return statSync(path).size;
  return shards(path).reduce((sum, name) => sum + statSync(join(path, name)).size, 0);
}

function precisionOf(model: Checkpoint): ModelDescription['precision'] {
  const sizes = new Map<string, { tensors: number; bytes: number }>();
  for (const { type, bytes } of tensorsOf(model)) {
    const entry = sizes.get(type) ?? { tensors: 0, bytes: 0 };
    sizes.set(type, { tensors: entry.tensors + 1, bytes: entry.bytes + bytes });
  }
  const all = [...sizes.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  return [...sizes]
    .map(([type, { tensors, bytes }]) => ({ type, tensors, share: bytes / all }))
    .sort((a, b) => b.share - a.share);
}

function* tensorsOf({ gguf, path }: Checkpoint): Generator<{ type: string; bytes: number }> {
  if (gguf) {
    yield* gguf.tensors.values();
    return;
  }
  for (const name of shards(path)) {
    const file = openSafetensors(join(path, name));
    try {
      for (const { dtype, bytes } of file.entries.values()) yield { type: dtype, bytes };
    } finally {
      file.close();
    }
  }
}
