// The tokenizer of a GGUF file or folder, for counting tokens.
import { openCheckpoint } from '../formats/checkpoint.ts';
import type { Tokenizer } from '../formats/tokenizer.ts';

export function openTokenizer(model: string): Tokenizer {
  const checkpoint = openCheckpoint(model);
  try {
    return checkpoint.tokenizer;
  } finally {
    checkpoint.close();
  }
}
