// The token suite: conversations, transformers' ids for them, and every family whose real vocabulary is at hand.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { findEntry } from '../src/catalog/entries.ts';
import { isFetched, resolveModel } from '../src/catalog/resolve.ts';
import type { ChatMessage } from '../src/chat/messages.ts';
import { type ChatPiece, chatPieces, encodePieces } from '../src/chat/template.ts';
import { openGguf } from '../src/formats/gguf.ts';
import { stringAt } from '../src/formats/gguf-values.ts';
import { tokenizerFromGguf } from '../src/formats/tokenizer-gguf.ts';
import { loadLlama } from '../src/serve/llama/library.ts';
import type { LlamaModel } from '../src/serve/llama/model.ts';
import { tokenize } from '../src/serve/llama/tokenize.ts';

export interface Conversation {
  name: string;
  messages: ChatMessage[];
  tools?: unknown[];
  spells?: boolean;
}

interface Reference {
  /** Null: the template is in the GGUF file. */
  template: string | null;
  ids: Record<string, number[]>;
}

const read = (name: string) => JSON.parse(readFileSync(new URL(`reference/${name}`, import.meta.url), 'utf8'));
export const conversations: Conversation[] = read('conversations.json');
export const references: Record<string, Reference> = read('tokens.json');

/** llama.cpp's models folder has vocabularies without weights; families whose vocabulary is not at hand are skipped. */
const vocabularies = process.env.CUPEL_VOCABULARIES;
const vocabulary = (name: string) => {
  const path = join(vocabularies ?? 'nowhere', `ggml-vocab-${name}.gguf`);
  return async () => (existsSync(path) ? path : undefined);
};
const gemma = findEntry('gemma-3-270m')!;

/** Where the real vocabulary of a family is; undefined where it is not at hand. */
export const TOKEN_FAMILIES: Record<string, () => Promise<string | undefined>> = {
  smollm2: async () => (await resolveModel('smollm2-135m-instruct')).path,
  gemma3: async () =>
    isFetched(gemma) ? (await resolveModel('gemma-3-270m', { acceptTerms: ['gemma'] })).path : undefined,
  'qwen2.5': vocabulary('qwen2'),
  qwen3: vocabulary('qwen2'),
  llama3: vocabulary('llama-bpe'),
  deepseek: vocabulary('deepseek-llm'),
};

/** Gemma's `</s>` is an HTML tag; llama.cpp takes any token of that name for a control token, transformers and we do not. */
export const overruled = (family: string, row: Conversation) =>
  family === 'gemma3' && JSON.stringify(row.messages).includes('</s>');

/** Our ids, transformers' and llama.cpp's for one family. */
export function openTokenFamily(family: string, path: string) {
  const gguf = openGguf(path);
  const tokenizer = tokenizerFromGguf(gguf.metadata);
  const reference = references[family];
  const template = reference.template ?? stringAt(gguf.metadata, 'tokenizer.chat_template')!;
  const pieces = ({ messages, tools }: Conversation) => {
    const variables = { date_string: '26 Jul 2024' };
    return chatPieces(template, tokenizer, messages, { tools, addGenerationPrompt: true, variables });
  };
  return {
    tokenizer,
    ours: (row: Conversation) => encodePieces(tokenizer, pieces(row)),
    /** Undefined where transformers' template refuses the conversation. */
    transformers: ({ name }: Conversation): number[] | undefined => reference.ids[name],
    /** Runs `work` with llama.cpp's ids for the same pieces. */
    withLlama(work: (ids: (row: Conversation) => number[]) => void): void {
      const llama = loadLlama();
      const pointer = llama.loadModel(path, { ...llama.modelDefaults(), vocab_only: true });
      const model = { vocab: llama.vocabOf(pointer) } as LlamaModel;
      // llama.cpp has no NFC; where a tokenizer has it, the text it is given is normalised first
      const nfc = tokenizer.json.normalizer?.type === 'NFC';
      const byLlama = (piece: ChatPiece) =>
        piece.id ?? tokenize(llama, model, nfc ? piece.text.normalize('NFC') : piece.text);
      try {
        work((row) => pieces(row).flatMap(byLlama));
      } finally {
        llama.freeModel(pointer);
      }
    },
  };
}
