// Served equals trained, in tokens: our ids, transformers' apply_chat_template and llama.cpp agree on every conversation.
import { describe, expect, it } from 'vitest';
import type { ChatMessage } from '../src/chat/messages.ts';
import { conversations, openTokenFamily, overruled, references, TOKEN_FAMILIES } from './token-families.ts';

it('has at least 40 conversations', () => {
  expect(conversations.length).toBeGreaterThanOrEqual(40);
  for (const { ids } of Object.values(references)) expect(Object.keys(ids).length).toBeGreaterThanOrEqual(40);
});

for (const [family, find] of Object.entries(TOKEN_FAMILIES)) {
  const path = await find();
  describe.skipIf(!path)(family, () => {
    if (!path) return;
    const { tokenizer, ours, transformers, withLlama } = openTokenFamily(family, path);

    it('equals transformers', () => {
      const known = conversations.filter(transformers);
      expect(known.length).toBeGreaterThanOrEqual(40);
      for (const conversation of known) {
        expect(ours(conversation), conversation.name).toEqual(transformers(conversation));
      }
    });

    it('equals llama.cpp on the same pieces', () => {
      withLlama((llama) => {
        for (const conversation of conversations.filter((row) => !overruled(family, row))) {
          expect(ours(conversation), conversation.name).toEqual(llama(conversation));
        }
      });
    });

    it('makes no control token from what a message spells', () => {
      const controls = (ids: number[]) => ids.filter((id) => [...tokenizer.specialTokens.values()].includes(id));
      const blank = (messages: ChatMessage[]) => messages.map((message) => ({ ...message, content: 'x' }));
      for (const conversation of conversations.filter(({ spells }) => spells)) {
        const harmless = { ...conversation, messages: blank(conversation.messages) };
        expect(controls(ours(conversation)), conversation.name).toEqual(controls(ours(harmless)));
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
