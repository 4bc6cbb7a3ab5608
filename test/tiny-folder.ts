// A Hugging Face folder around given weights: config.json, model.safetensors, a tokenizer of single characters, a chat template.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { writeSafetensors } from '../src/formats/safetensors-write.ts';
import { addedToken, BYTE_LEVEL } from '../src/formats/tokenizer-json.ts';

export interface TinyWeight {
  shape: readonly number[];
  data: Float32Array;
}

export const CHATML =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

const SPECIALS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
/** Qwen2's word pattern, as its tokenizer.json has it. */
const WORDS =
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+";

/** The vocabulary has as many tokens as `config.vocab_size` (at least 3). */
export function writeTinyFolder(
  folder: string,
  config: Record<string, unknown>,
  weights: ReadonlyMap<string, TinyWeight>,
): void {
  mkdirSync(folder, { recursive: true });
  const json = (name: string, value: unknown) => writeFileSync(join(folder, name), JSON.stringify(value));
  json('config.json', config);
  json('tokenizer.json', tokenizerJson(Number(config.vocab_size)));
  json('tokenizer_config.json', { bos_token: SPECIALS[1], eos_token: SPECIALS[2], pad_token: SPECIALS[0] });
  writeFileSync(join(folder, 'chat_template.jinja'), CHATML);
  writeFileSync(join(folder, 'README.md'), '---\nlicense: apache-2.0\n---\nA tiny model.\n');
  const tensors = [...weights].map(([name, { shape, data }]) => ({
    name,
    dtype: 'F32' as const,
    shape,
    read: () => data,
  }));
  writeSafetensors(join(folder, 'model.safetensors'), tensors);
}

function tokenizerJson(size: number) {
  // letters from a to z, then whatever follows in Latin Extended-A: the byte-level letters of other bytes among them
  const letters = Array.from({ length: size - SPECIALS.length }, (_, i) =>
    String.fromCodePoint(i < 26 ? 97 + i : 0x100 + i - 26),
  );
  return {
    version: '1.0',
    truncation: null,
    padding: null,
    added_tokens: SPECIALS.map((content, id) => addedToken(id, content, true)),
    normalizer: { type: 'NFC' },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Split', pattern: { Regex: WORDS }, behavior: 'Isolated', invert: false },
        { ...BYTE_LEVEL },
      ],
    },
    post_processor: null,
    decoder: { ...BYTE_LEVEL },
    model: {
      type: 'BPE',
      dropout: null,
      unk_token: null,
      continuing_subword_prefix: '',
      end_of_word_suffix: '',
      fuse_unk: false,
      byte_fallback: false,
      ignore_merges: false,
      vocab: Object.fromEntries([...SPECIALS, ...letters].map((token, id) => [token, id])),
      merges: [],
    },
  };
}
