// Builds a tokenizer.json from the vocabulary that a GGUF file carries.
import { CupelError } from '../base/errors.ts';
import type { GgufMetadata } from './gguf-metadata.ts';
import { booleanAt, numberAt, numbersAt, required, stringAt, stringsAt } from './gguf-values.ts';
import { PRE_TOKENIZERS } from './pre-tokenizers.ts';
import { createTokenizer, type Tokenizer } from './tokenizer.ts';
import { addedToken, BYTE_LEVEL, type ComponentJson, splitOn, type TokenizerJson } from './tokenizer-json.ts';

// llama.cpp's token types
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;

/** Tokens that llama.cpp holds for control tokens whatever the file says. */
const ALWAYS_CONTROL = new Set([
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<|eom_id|>',
  '<EOT>',
  '<｜end▁of▁sentence｜>',
]);

/** @throws CupelError when the vocabulary is missing, damaged or of a kind that is not supported */
export function tokenizerFromGguf(metadata: GgufMetadata): Tokenizer {
  const id = (name: string) => numberAt(metadata, `tokenizer.ggml.${name}_token_id`);
  const ends = ['eot', 'eom'].map(id).filter((end) => end !== undefined);
  return createTokenizer(tokenizerJsonFromGguf(metadata), {
    bosId: id('bos'),
    eosId: id('eos'),
    padId: id('padding'),
    unkId: id('unknown'),
    endIds: ends,
  });
}

/** A tokenizer.json that the Hugging Face libraries read as well. */
export function tokenizerJsonFromGguf(metadata: GgufMetadata): TokenizerJson {
  const kind = required(stringAt(metadata, 'tokenizer.ggml.model'), 'tokenizer.ggml.model');
  const tokens = required(stringsAt(metadata, 'tokenizer.ggml.tokens'), 'tokenizer.ggml.tokens');
  const types = numbersAt(metadata, 'tokenizer.ggml.token_type') ?? [];
  const vocab = Object.fromEntries(tokens.map((token, id) => [token, id]));
  const added = tokens.flatMap((content, id) => {
    const control = types[id] === CONTROL || types[id] === UNKNOWN || ALWAYS_CONTROL.has(content);
    return control || types[id] === USER_DEFINED ? [addedToken(id, content, control)] : [];
  });
  if (kind === 'gpt2') return byteLevelJson(metadata, vocab, added);
  if (kind === 'llama') return sentencePieceJson(metadata, tokens, vocab, added);
  throw new CupelError(`vocabularies of kind "${kind}" are not supported`, {
    place: { field: 'tokenizer.ggml.model' },
    remedy: 'use a model with a byte-pair vocabulary (gpt2 or llama)',
  });
}

type Vocab = Record<string, number>;

const SHARED = { version: '1.0', truncation: null, padding: null } as const;

/** Puts the first token before a text, where the original tokenizer does. Our own encoding leaves that to the chat template. */
function postProcessor(metadata: GgufMetadata, addsByKind: boolean): ComponentJson | null {
  const id = numberAt(metadata, 'tokenizer.ggml.bos_token_id');
  const adds = booleanAt(metadata, 'tokenizer.ggml.add_bos_token') ?? addsByKind;
  const token = id === undefined ? undefined : stringsAt(metadata, 'tokenizer.ggml.tokens')?.[id];
  if (!adds || token === undefined) return null;
  const [special, text] = [{ SpecialToken: { id: token, type_id: 0 } }, { Sequence: { id: 'A', type_id: 0 } }];
  const second = { Sequence: { id: 'B', type_id: 1 } };
  const special_tokens = { [token]: { id: token, ids: [id], tokens: [token] } };
  return {
    type: 'TemplateProcessing',
    single: [special, text],
    pair: [special, text, special, second],
    special_tokens,
  };
}

function byteLevelJson(metadata: GgufMetadata, vocab: Vocab, added: TokenizerJson['added_tokens']): TokenizerJson {
  const name = stringAt(metadata, 'tokenizer.ggml.pre') ?? 'default';
  const rule = Object.hasOwn(PRE_TOKENIZERS, name) ? PRE_TOKENIZERS[name] : undefined;
  if (!rule) {
    throw new CupelError(`the pre-tokenizer "${name}" is not known`, {
      place: { field: 'tokenizer.ggml.pre' },
      remedy: `use the Hugging Face folder of this model, or one of: ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
    });
  }
  const merges = required(stringsAt(metadata, 'tokenizer.ggml.merges'), 'tokenizer.ggml.merges');
  return {
    ...SHARED,
    post_processor: postProcessor(metadata, rule.addBos ?? false),
    added_tokens: added,
    normalizer: rule.nfc ? { type: 'NFC' } : null,
    pre_tokenizer: { type: 'Sequence', pretokenizers: [...rule.patterns.map(splitOn), BYTE_LEVEL] },
    decoder: { ...BYTE_LEVEL },
    model: bpe(vocab, [...merges], { ignore_merges: rule.ignoreMerges ?? false }),
  };
}

/** SentencePiece byte-pair vocabularies store scores, not merges: a pair merges sooner the higher its token scores. */
function sentencePieceJson(
  metadata: GgufMetadata,
  tokens: readonly string[],
  vocab: Vocab,
  added: TokenizerJson['added_tokens'],
): TokenizerJson {
  const scores = required(numbersAt(metadata, 'tokenizer.ggml.scores'), 'tokenizer.ggml.scores');
  const prefix = booleanAt(metadata, 'tokenizer.ggml.add_space_prefix') ?? true;
  const toMark: ComponentJson = { type: 'Replace', pattern: { String: ' ' }, content: '▁' };
  const fromMark: ComponentJson = { type: 'Replace', pattern: { String: '▁' }, content: ' ' };
  const strip: ComponentJson[] = prefix ? [{ type: 'Strip', content: ' ', start: 1, stop: 0 }] : [];
  return {
    ...SHARED,
    post_processor: postProcessor(metadata, true),
    added_tokens: added,
    normalizer: prefix ? { type: 'Sequence', normalizers: [{ type: 'Prepend', prepend: '▁' }, toMark] } : toMark,
    pre_tokenizer: null,
    decoder: { type: 'Sequence', decoders: [fromMark, { type: 'ByteFallback' }, { type: 'Fuse' }, ...strip] },
    model: bpe(vocab, mergesFromScores(tokens, scores, vocab), {
      unk_token: tokens[numberAt(metadata, 'tokenizer.ggml.unknown_token_id') ?? 0],
      fuse_unk: true,
      byte_fallback: true,
    }),
  };
}

function bpe(vocab: Vocab, merges: (string | [string, string])[], options: Record<string, unknown>) {
  return {
    type: 'BPE',
    dropout: null,
    unk_token: null,
    continuing_subword_prefix: null,
    end_of_word_suffix: null,
    fuse_unk: false,
    byte_fallback: false,
    ignore_merges: false,
    ...options,
    vocab,
    merges,
  };
}

/** Every way to split a token into two others, best token first; the rule of transformers' SentencePiece converter. */
function mergesFromScores(tokens: readonly string[], scores: readonly number[], vocab: Vocab): [string, string][] {
  const known = new Set(Object.keys(vocab));
  const pairs: { left: string; right: string; score: number }[] = [];
  tokens.forEach((token, id) => {
    for (let cut = 1; cut < token.length; cut++) {
      if (isLowSurrogate(token.charCodeAt(cut))) continue;
      const left = token.slice(0, cut);
      const right = token.slice(cut);
      if (known.has(left) && known.has(right)) pairs.push({ left, right, score: scores[id] });
    }
  });
  const order = (a: (typeof pairs)[0], b: (typeof pairs)[0]) =>
    b.score - a.score || b.left.length - a.left.length || b.right.length - a.right.length;
  return pairs.sort(order).map(({ left, right }) => [left, right]);
}

const isLowSurrogate = (unit: number) => unit >= 0xdc00 && unit <= 0xdfff;
