// A whole student small enough for tests: a random llama over bytes, with ChatML, as a GGUF file that llama.cpp loads too.
import { Random } from '../src/base/random.ts';
import type { GgufMetadata } from '../src/formats/gguf-metadata.ts';
import { writeGguf } from '../src/formats/gguf-write.ts';
import { quantize } from '../src/formats/quantize.ts';

const D = 64;
const FF = 128;
const LAYERS = 2;
const HEADS = 4;
const GROUPS = 2;
const CONTROL = 3;
const NORMAL = 1;
const SPECIALS = ['<|endoftext|>', '<|im_start|>', '<|im_end|>'];
const TEMPLATE =
  "{% for message in messages %}{{ '<|im_start|>' + message['role'] + '\\n' + message['content'] + '<|im_end|>' + '\\n' }}{% endfor %}" +
  "{% if add_generation_prompt %}{{ '<|im_start|>assistant\\n' }}{% endif %}";

/** GPT-2's printable stand-ins for the 256 bytes. */
function byteCharacters(): string[] {
  const printable = (byte: number) => (byte > 32 && byte < 127) || (byte > 160 && byte < 256 && byte !== 173);
  let next = 256;
  return Array.from({ length: 256 }, (_, byte) => String.fromCodePoint(printable(byte) ? byte : next++));
}

/** Writes the file; equal seeds give equal weights. */
export function writeTinyStudent(path: string, seed = 7): void {
  const tokens = [...SPECIALS, ...byteCharacters(), 'th'];
  const V = tokens.length;
  const u32 = (value: number) => ({ type: 'u32', value }) as const;
  const text = (value: string) => ({ type: 'string', value }) as const;
  const metadata: GgufMetadata = new Map(
    Object.entries({
      'general.architecture': text('llama'),
      'general.name': text('Tiny'),
      'llama.block_count': u32(LAYERS),
      'llama.context_length': u32(512),
      'llama.embedding_length': u32(D),
      'llama.feed_forward_length': u32(FF),
      'llama.vocab_size': u32(V),
      'llama.attention.head_count': u32(HEADS),
      'llama.attention.head_count_kv': u32(GROUPS),
      'llama.rope.dimension_count': u32(D / HEADS),
      'llama.rope.freq_base': { type: 'f32', value: 10_000 },
      'llama.attention.layer_norm_rms_epsilon': { type: 'f32', value: 1e-5 },
      'tokenizer.ggml.model': text('gpt2'),
      'tokenizer.ggml.pre': text('smollm'),
      'tokenizer.ggml.tokens': { type: 'array', items: 'string', value: tokens },
      'tokenizer.ggml.token_type': {
        type: 'array',
        items: 'i32',
        value: tokens.map((_, id) => (id < SPECIALS.length ? CONTROL : NORMAL)),
      },
      'tokenizer.ggml.merges': { type: 'array', items: 'string', value: ['t h'] },
      'tokenizer.ggml.bos_token_id': u32(1),
      'tokenizer.ggml.eos_token_id': u32(2),
      'tokenizer.ggml.padding_token_id': u32(0),
      'tokenizer.ggml.add_bos_token': { type: 'bool', value: false },
      'tokenizer.chat_template': text(TEMPLATE),
    }),
  );
  const random = new Random(seed);
  const tensors = Object.entries(shapes(V)).map(([name, shape]) => {
    const norm = shape.length === 1;
    const values = Float32Array.from({ length: shape.reduce((a, b) => a * b, 1) }, () =>
      norm ? 1 : 0.1 * random.normal(),
    );
    return { name, type: 'F32' as const, shape, read: () => quantize('F32', values) };
  });
  writeGguf(path, metadata, tensors);
}

function shapes(V: number): Record<string, number[]> {
  const K = (D / HEADS) * GROUPS;
  const layer = (at: string): Record<string, number[]> => ({
    [`${at}.attn_norm.weight`]: [D],
    [`${at}.attn_q.weight`]: [D, D],
    [`${at}.attn_k.weight`]: [K, D],
    [`${at}.attn_v.weight`]: [K, D],
    [`${at}.attn_output.weight`]: [D, D],
    [`${at}.ffn_norm.weight`]: [D],
    [`${at}.ffn_gate.weight`]: [FF, D],
    [`${at}.ffn_up.weight`]: [FF, D],
    [`${at}.ffn_down.weight`]: [D, FF],
  });
  const layers = Array.from({ length: LAYERS }, (_, i) => layer(`blk.${i}`));
  return Object.assign({ 'token_embd.weight': [V, D], 'output_norm.weight': [D] }, ...layers);
}
