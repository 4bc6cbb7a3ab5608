// The parts of a Hugging Face tokenizer.json that this package reads and writes.

export interface AddedTokenJson {
  id: number;
  content: string;
  single_word: boolean;
  lstrip: boolean;
  rstrip: boolean;
  normalized: boolean;
  /** True for control tokens: those that no plain text may become. */
  special: boolean;
}

/** A normaliser, pre-tokenizer, decoder or post-processor: `type` and fields of its own. */
export interface ComponentJson {
  type: string;
  [field: string]: unknown;
}

export interface TokenizerJson {
  version: string;
  truncation: unknown;
  padding: unknown;
  added_tokens: AddedTokenJson[];
  normalizer: ComponentJson | null;
  pre_tokenizer: ComponentJson | null;
  post_processor: ComponentJson | null;
  decoder: ComponentJson | null;
  model: ComponentJson & { vocab: Record<string, number>; merges?: (string | [string, string])[] };
}

/** A token kept apart from the text around it. */
export function addedToken(id: number, content: string, special: boolean): AddedTokenJson {
  return { id, content, single_word: false, lstrip: false, rstrip: false, normalized: false, special };
}

/** Isolates the matches of a regular expression. */
export function splitOn(pattern: string): ComponentJson {
  return { type: 'Split', pattern: { Regex: pattern }, behavior: 'Isolated', invert: false };
}

/** Bytes as visible characters, without a word pattern of its own. */
export const BYTE_LEVEL: ComponentJson = {
  type: 'ByteLevel',
  add_prefix_space: false,
  trim_offsets: true,
  use_regex: false,
};
