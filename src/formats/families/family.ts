// What a GGUF architecture is: how its metadata and tensors correspond to a Hugging Face config.json and its tensors.
import type { Gguf } from '../gguf.ts';
import type { GgufEntry } from '../gguf-metadata.ts';
import type { ConfigJson } from '../weights.ts';

/** What a tensor is for: decides its precision in a quantised file. */
export type TensorRole = 'embedding' | 'output' | 'norm' | 'matrix' | 'router' | 'bias';

/** Where a Hugging Face tensor lies in a GGUF file: a GGUF tensor or one of a stack, perhaps with its rows in another order. */
export interface Link {
  /** The Hugging Face name. */
  hf: string;
  /** The GGUF name. */
  gguf: string;
  /** Shape of the Hugging Face tensor. */
  shape: readonly number[];
  role: TensorRole;
  /** Not every model of the family has it: biases, an output apart from the embedding. */
  optional?: boolean;
  /** The GGUF tensor stacks several of these (experts): which one this is, of how many. */
  stack?: { index: number; of: number };
  /** In GGUF the two halves of each rotary head are interleaved; so many heads. */
  interleave?: { heads: number };
  /** Only older files have it; it is read, not written. */
  legacy?: boolean;
  /** GGUF holds the value plus this (Gemma's norms: 1 + w). */
  shift?: number;
}

/** One Hugging Face tensor that is several in GGUF (latent attention). Each part is computed from the whole and back. */
export interface Weave {
  hf: string;
  shape: readonly number[];
  role: TensorRole;
  parts: readonly { gguf: string; shape: readonly number[]; cut: (whole: Float32Array) => Float32Array }[];
  join: (parts: readonly Float32Array[]) => Float32Array;
}

/** A GGUF tensor that follows from the config alone (frequency factors of rotary positions). */
export interface Computed {
  gguf: string;
  values: Float32Array;
}

export interface TensorMap {
  links: Link[];
  weaves: Weave[];
  computed: Computed[];
}

export type MetadataEntries = [key: string, entry: GgufEntry][];

export interface GgufFamily {
  /** `general.architecture`. */
  architecture: string;
  /** `model_type` values of config.json that are stored under this architecture. */
  modelTypes: readonly string[];
  /** config.json as far as a GGUF file tells. @throws CupelError naming the key that is missing or unsupported */
  configFromGguf(gguf: Gguf): ConfigJson;
  /** Keys under the architecture's prefix, e.g. `llama.block_count`. @throws CupelError naming the field */
  metadataFromConfig(config: ConfigJson): MetadataEntries;
  tensors(config: ConfigJson): TensorMap;
  /** What llama.cpp computes otherwise than the original, in a sentence each; nothing for most. */
  notes?(config: ConfigJson): string[];
}
