// The metadata and tensors of a model as a GGUF file, whatever it was opened from.
import type { Checkpoint } from './checkpoint.ts';
import { dequantize } from './dequantize.ts';
import { familyOfArchitecture, familyOfModelType } from './families/families.ts';
import type { GgufFamily } from './families/family.ts';
import type { GgufEntry, GgufMetadata } from './gguf-metadata.ts';
import { type GgufPart, ggufParts } from './gguf-parts.ts';
import { required, stringAt } from './gguf-values.ts';
import { tokenizerMetadata } from './tokenizer-metadata.ts';
import type { WeightSource } from './weights.ts';

/** @throws CupelError naming what of the model GGUF has no place for */
export function ggufMetadata(model: Checkpoint): GgufMetadata {
  const metadata: GgufMetadata = model.gguf ? new Map(model.gguf.metadata) : new Map(folderMetadata(model));
  metadata.set('general.quantization_version', { type: 'u32', value: 2 });
  // where a file of several parts was read, one is written
  for (const key of metadata.keys()) if (key.startsWith('split.')) metadata.delete(key);
  return metadata;
}

/**
 * @param weights of the model under Hugging Face names; not those it was opened with when an adapter was merged in
 * @throws CupelError when a tensor is missing, misshapen or of no known place
 */
export function ggufTensors(model: Checkpoint, weights: WeightSource): GgufPart[] {
  const map = familyOf(model).tensors(model.config);
  const { gguf } = model;
  const tied = model.config.tie_word_embeddings as boolean | undefined;
  if (!gguf) return ggufParts(map, weights, tied);
  const parts = ggufParts({ ...map, computed: [] }, weights, tied);
  const known = new Set(parts.map(({ name }) => name));
  // what the file has besides (frequency factors) goes along as it is
  const others = [...gguf.tensors.values()]
    .filter(({ name }) => !known.has(name))
    .map(({ name, type, shape }): GgufPart => {
      const pieces = () => [dequantize(type, gguf.readRaw(name))];
      return { name, shape, role: shape.length < 2 ? 'norm' : 'matrix', pieces };
    });
  return [...parts, ...others];
}

/** What llama.cpp will compute otherwise than the original model. */
export function ggufNotes(model: Checkpoint): string[] {
  return familyOf(model).notes?.(model.config) ?? [];
}

function familyOf(model: Checkpoint): GgufFamily {
  if (!model.gguf) return familyOfModelType(String(model.config.model_type));
  return familyOfArchitecture(required(stringAt(model.gguf.metadata, 'general.architecture'), 'general.architecture'));
}

function folderMetadata(model: Checkpoint): [string, GgufEntry][] {
  const { architecture, metadataFromConfig } = familyOf(model);
  const text = (value: string): GgufEntry => ({ type: 'string', value });
  const optional = (key: string, value: string | undefined): [string, GgufEntry][] =>
    value === undefined ? [] : [[key, text(value)]];
  return [
    ['general.architecture', text(architecture)],
    ['general.type', text('model')],
    ['general.name', text(model.name)],
    ...optional('general.license', model.licence),
    ...metadataFromConfig(model.config),
    ...tokenizerMetadata(model.tokenizer, Number(model.config.vocab_size)),
    ...optional('tokenizer.chat_template', model.chatTemplate),
  ];
}
