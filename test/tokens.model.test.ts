// Served equals trained, in tokens: our ids, transformers' apply_chat_template and llama.cpp agree on every conversation.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
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

interface Conversation {
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
const conversations: Conversation[] = read('conversations.json');
const references: Record<string, Reference> = read('tokens.json');

/** llama.cpp's models folder has vocabularies without weights; families whose vocabulary is not at hand are skipped. */
const vocabularies = process.env.CUPEL_VOCABULARIES;
const vocabulary = (name: string) => {
  const path = join(vocabularies ?? 'nowhere', `ggml-vocab-${name}.gguf`);
  return async () => (existsSync(path) ? path : undefined);
};
const gemma = findEntry('gemma-3-270m')!;
const FAMILIES: Record<string, { path: () => Promise<string | undefined>; nfc?: boolean }> = {
  smollm2: { path: async () => (await resolveModel('smollm2-135m-instruct')).path },
  gemma3: {
    path: async () =>
      isFetched(gemma) ? (await resolveModel('gemma-3-270m', { acceptTerms: ['gemma'] })).path : undefined,
  },
  'qwen2.5': { path: vocabulary('qwen2') },
  qwen3: { path: vocabulary('qwen2') },
  llama3: { path: vocabulary('llama-bpe') },
  deepseek: { path: vocabulary('deepseek-llm') },
};

/** Gemma's `</s>` is an HTML tag; llama.cpp takes any token of that name for a control token, transformers and we do not. */
const overruled = (family: string, row: Conversation) =>
  family === 'gemma3' && JSON.stringify(row.messages).includes('</s>');

it('has at least 40 conversations', () => {
  expect(conversations.length).toBeGreaterThanOrEqual(40);
  for (const { ids } of Object.values(references)) expect(Object.keys(ids).length).toBeGreaterThanOrEqual(40);
});

for (const [family, { path: find }] of Object.entries(FAMILIES)) {
  const path = await find();
  describe.skipIf(!path)(family, async () => {
    if (!path) return;
    const gguf = openGguf(path);
    const tokenizer = tokenizerFromGguf(gguf.metadata);
    const reference = references[family];
    const template = reference.template ?? stringAt(gguf.metadata, 'tokenizer.chat_template')!;
    const pieces = (messages: readonly ChatMessage[], tools?: unknown[]) => {
      const variables = { date_string: '26 Jul 2024' };
      return chatPieces(template, tokenizer, messages, { tools, addGenerationPrompt: true, variables });
    };
    const idsOf = ({ messages, tools }: Conversation) => encodePieces(tokenizer, pieces(messages, tools));

    it('equals transformers', () => {
      const known = conversations.filter(({ name }) => reference.ids[name]);
      for (const conversation of known) {
        expect(idsOf(conversation), conversation.name).toEqual(reference.ids[conversation.name]);
      }
    });

    it('equals llama.cpp on the same pieces', () => {
      const llama = loadLlama();
      const pointer = llama.loadModel(path, { ...llama.modelDefaults(), vocab_only: true });
      const model = { vocab: llama.vocabOf(pointer) } as LlamaModel;
      // llama.cpp has no NFC; where a tokenizer has it, the text it is given is normalised first
      const nfc = tokenizer.json.normalizer?.type === 'NFC';
      const byLlama = (piece: ChatPiece) =>
        piece.id ?? tokenize(llama, model, nfc ? piece.text.normalize('NFC') : piece.text);
      for (const { name, messages, tools } of conversations.filter((row) => !overruled(family, row))) {
        const cut = pieces(messages, tools);
        expect(encodePieces(tokenizer, cut), name).toEqual(cut.flatMap(byLlama));
      }
      llama.freeModel(pointer);
    });

    it('makes no control token from what a message spells', () => {
      const controls = (ids: number[]) => ids.filter((id) => [...tokenizer.specialTokens.values()].includes(id));
      const blank = (messages: ChatMessage[]) => messages.map((message) => ({ ...message, content: 'x' }));
      for (const conversation of conversations.filter(({ spells }) => spells)) {
        const harmless = { ...conversation, messages: blank(conversation.messages) };
        expect(controls(idsOf(conversation)), conversation.name).toEqual(controls(idsOf(harmless)));
      }
    });

    it('reads back what it wrote', () => {
      for (const { messages } of conversations) {
        for (const { content } of messages) {
          // SentencePiece writes a space as U+2581, so it cannot tell the two apart
          if (family === 'gemma3' && (content as string).includes('\u2581')) continue;
          const text = (content as string).normalize(tokenizer.json.normalizer?.type === 'NFC' ? 'NFC' : undefined);
          expect(tokenizer.decode(tokenizer.encode(content as string))).toBe(text);
        }
      }
    });
  });
}
