// A real vocabulary written to GGUF and read back: the same tokens, kinds, merges or scores, and the same ids of every conversation.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { findEntry } from '../src/catalog/entries.ts';
import { isFetched, resolveModel } from '../src/catalog/resolve.ts';
import { openGguf } from '../src/formats/gguf.ts';
import type { GgufMetadata } from '../src/formats/gguf-metadata.ts';
import { numbersAt, stringAt, stringsAt } from '../src/formats/gguf-values.ts';
import { tokenizerFromGguf } from '../src/formats/tokenizer-gguf.ts';
import { tokenizerMetadata } from '../src/formats/tokenizer-metadata.ts';

const conversations: { messages: { content: string }[] }[] = JSON.parse(
  readFileSync(new URL('reference/conversations.json', import.meta.url), 'utf8'),
);
const vocabulary = (name: string) => async () => {
  const path = join(process.env.CUPEL_VOCABULARIES ?? 'nowhere', `ggml-vocab-${name}.gguf`);
  return existsSync(path) ? path : undefined;
};
const FAMILIES: Record<string, () => Promise<string | undefined>> = {
  smollm2: async () => (await resolveModel('smollm2-135m-instruct')).path,
  gemma3: async () =>
    isFetched(findEntry('gemma-3-270m')!)
      ? (await resolveModel('gemma-3-270m', { acceptTerms: ['gemma'] })).path
      : undefined,
  qwen2: vocabulary('qwen2'),
  llama3: vocabulary('llama-bpe'),
  deepseek: vocabulary('deepseek-llm'),
  'llama 2': vocabulary('llama-spm'),
};

for (const [family, find] of Object.entries(FAMILIES)) {
  const path = await find();
  describe.skipIf(!path)(family, () => {
    it('is the same vocabulary afterwards', () => {
      const { metadata } = openGguf(path!);
      const tokenizer = tokenizerFromGguf(metadata);
      const written: GgufMetadata = new Map(tokenizerMetadata(tokenizer, tokenizer.vocabSize));
      for (const key of ['model', 'pre']) {
        const original = stringAt(metadata, `tokenizer.ggml.${key}`);
        if (original !== undefined) expect(stringAt(written, `tokenizer.ggml.${key}`), key).toBe(original);
      }
      for (const key of ['tokens', 'merges']) {
        const list = `tokenizer.ggml.${key}`;
        expect(stringsAt(written, list)?.join('\n'), key).toBe(stringsAt(metadata, list)?.join('\n'));
      }
      // a token that plain text never yields may be of another kind: unused, or a byte
      const types = numbersAt(metadata, 'tokenizer.ggml.token_type')!;
      const kinds = numbersAt(written, 'tokenizer.ggml.token_type')!;
      const control = (type: number) => type === 3 || type === 2;
      const changed = types.flatMap((type, id) => (control(type) && !control(kinds[id]) ? [id] : []));
      expect(changed).toEqual([]);
      const again = tokenizerFromGguf(written);
      for (const { content } of conversations.flatMap(({ messages }) => messages)) {
        expect(again.encode(content)).toEqual(tokenizer.encode(content));
      }
      expect(again.endIds).toEqual(tokenizer.endIds);
      expect([again.bosId, again.eosId]).toEqual([tokenizer.bosId, tokenizer.eosId]);
    });
  });
}
