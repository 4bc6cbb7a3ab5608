// Writes a tokenizer.json as the vocabulary keys of a GGUF file: the reverse of tokenizer-gguf.ts.
import { CupelError } from '../base/errors.ts';
import type { GgufEntry } from './gguf-metadata.ts';
import { findPreTokenizer } from './pre-tokenizer-match.ts';
import { END_NAMES, type Tokenizer } from './tokenizer.ts';
import type { TokenizerJson } from './tokenizer-json.ts';

// llama.cpp's token types
const NORMAL = 1;
const UNKNOWN = 2;
const CONTROL = 3;
const USER_DEFINED = 4;
const UNUSED = 5;
const BYTE = 6;

type Entries = [key: string, entry: GgufEntry][];

const u32 = (value: number): GgufEntry => ({ type: 'u32', value });
const text = (value: string): GgufEntry => ({ type: 'string', value });
const texts = (value: readonly string[]): GgufEntry => ({ type: 'array', items: 'string', value });

/**
 * @param rows rows of the embedding: ids without a token get a placeholder
 * @throws CupelError for a kind of tokenizer that GGUF has no place for
 */
export function tokenizerMetadata(tokenizer: Tokenizer, rows: number): Entries {
  const { json } = tokenizer;
  if (json.model.type !== 'BPE') {
    throw new CupelError(`tokenizers of kind ${json.model.type} cannot be written to GGUF`, {
      place: { file: 'tokenizer.json', field: 'model.type' },
      remedy: 'use a model with a byte-pair tokenizer',
    });
  }
  if (tokenizer.vocabSize > rows) {
    throw new CupelError(`the tokenizer has ${tokenizer.vocabSize} tokens, the embedding ${rows} rows`, {
      place: { file: 'tokenizer.json' },
      remedy: 'take tokenizer and weights from the same model',
    });
  }
  const tokens = tokensOf(json, rows);
  const types = tokens.map((token, id) => typeOf(tokenizer, token, id));
  const specials = { bos: tokenizer.bosId, eos: tokenizer.eosId, padding: tokenizer.padId, unknown: tokenizer.unkId };
  // the end of a turn, where readers do not know it by its name
  const turn = tokenizer.endIds.find(
    (id) => id !== tokenizer.eosId && !END_NAMES.includes(tokenizer.tokenOf(id) ?? ''),
  );
  return [
    ...(isByteLevel(json) ? byteLevel(json) : sentencePiece(json, tokens)),
    ['tokenizer.ggml.tokens', texts(tokens.map((token, id) => token ?? `[PAD${id}]`))],
    ['tokenizer.ggml.token_type', { type: 'array', items: 'i32', value: types }],
    ...Object.entries({ ...specials, eot: turn }).flatMap(
      ([name, id]): Entries => (id === undefined ? [] : [[`tokenizer.ggml.${name}_token_id`, u32(id)]]),
    ),
    ['tokenizer.ggml.add_bos_token', { type: 'bool', value: addsFirstToken(tokenizer) }],
  ];
}

const isByteLevel = (json: TokenizerJson): boolean => JSON.stringify(json.pre_tokenizer ?? {}).includes('"ByteLevel"');

function byteLevel(json: TokenizerJson): Entries {
  const merges = (json.model.merges ?? []).map((merge) => (typeof merge === 'string' ? merge : merge.join(' ')));
  return [
    ['tokenizer.ggml.model', text('gpt2')],
    ['tokenizer.ggml.pre', text(findPreTokenizer(json))],
    ['tokenizer.ggml.merges', texts(merges)],
  ];
}

/** SentencePiece vocabularies keep scores: a token scores higher the sooner the first merge that yields it comes. */
function sentencePiece(json: TokenizerJson, tokens: readonly (string | undefined)[]): Entries {
  if (json.model.byte_fallback !== true) {
    throw new CupelError('is neither a byte-level nor a SentencePiece vocabulary', {
      place: { file: 'tokenizer.json', field: 'pre_tokenizer' },
      remedy: 'use a model whose tokenizer llama.cpp knows',
    });
  }
  const ranks = new Map<string, number>();
  for (const [rank, merge] of (json.model.merges ?? []).entries()) {
    const [left, right] = typeof merge === 'string' ? merge.split(' ') : merge;
    if (!ranks.has(left + right)) ranks.set(left + right, rank);
  }
  const scores = tokens.map((token) => (token !== undefined && ranks.has(token) ? -ranks.get(token)! : 0));
  const prefix = /"Prepend"|"prepend_scheme":"(first|always)"|"add_prefix_space":true/.test(
    JSON.stringify([json.normalizer, json.pre_tokenizer]),
  );
  return [
    ['tokenizer.ggml.model', text('llama')],
    ['tokenizer.ggml.pre', text('default')],
    ['tokenizer.ggml.scores', { type: 'array', items: 'f32', value: scores }],
    ['tokenizer.ggml.add_space_prefix', { type: 'bool', value: prefix }],
  ];
}

function tokensOf(json: TokenizerJson, rows: number): (string | undefined)[] {
  const tokens: (string | undefined)[] = new Array(rows).fill(undefined);
  for (const [token, id] of Object.entries(json.model.vocab)) tokens[id] = token;
  for (const { id, content } of json.added_tokens) tokens[id] = content;
  return tokens;
}

function typeOf(tokenizer: Tokenizer, token: string | undefined, id: number): number {
  if (token === undefined) return UNUSED;
  if (id === tokenizer.unkId && token === '<unk>') return UNKNOWN;
  if (tokenizer.specialTokens.get(token) === id) return CONTROL;
  if (tokenizer.addedTokens.get(token) === id) return USER_DEFINED;
  return tokenizer.json.model.byte_fallback === true && /^<0x[0-9A-F]{2}>$/.test(token) ? BYTE : NORMAL;
}

/** True when the tokenizer puts its first token before a text of its own accord, as llama.cpp then does too. */
export function addsFirstToken({ json, bosId }: Tokenizer): boolean {
  const bos = json.added_tokens.find(({ id }) => id === bosId)?.content;
  const processors = JSON.stringify(json.post_processor ?? {});
  return bos !== undefined && processors.includes('"TemplateProcessing"') && processors.includes(JSON.stringify(bos));
}
