// Text to token ids and back, from a tokenizer.json; plain text never yields a control token.
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { CupelError } from '../base/errors.ts';
import { PRE_TOKENIZERS } from './pre-tokenizers.ts';
import { type AddedTokenJson, BYTE_LEVEL, type ComponentJson, splitOn, type TokenizerJson } from './tokenizer-json.ts';

export interface Tokenizer {
  /** Ids of plain text. Text that spells a control token is encoded letter by letter like any other. */
  encode(text: string): number[];
  /** Text of ids; control tokens are written out unless `skipSpecial`. */
  decode(ids: readonly number[], options?: { skipSpecial?: boolean }): string;
  /** The id of a token by its exact content, control tokens included. */
  idOf(token: string): number | undefined;
  /** The content of an id as the vocabulary has it (byte-level tokens look encoded). */
  tokenOf(id: number): string | undefined;
  /** Control tokens: content to id. */
  readonly specialTokens: ReadonlyMap<string, number>;
  /** Tokens that plain text does yield as a whole, such as `<tool_call>` in Qwen: content to id. */
  readonly addedTokens: ReadonlyMap<string, number>;
  readonly vocabSize: number;
  readonly bosId: number | undefined;
  readonly eosId: number | undefined;
  readonly padId: number | undefined;
  readonly unkId: number | undefined;
  /** Ids that end an answer: end of sequence, end of turn. */
  readonly endIds: readonly number[];
  /** What the chat template knows as `bos_token`, `eos_token` and so on. */
  readonly templateVariables: Readonly<Record<string, string>>;
  /** The file this was made from, for writing it out again. */
  readonly json: TokenizerJson;
}

export interface SpecialIds {
  bosId?: number;
  eosId?: number;
  padId?: number;
  unkId?: number;
  endIds?: readonly number[];
}

/** Names that end a turn in the families at hand; llama.cpp knows the same ones. */
export const END_NAMES: readonly string[] = [
  '<|eot_id|>',
  '<|im_end|>',
  '<|end|>',
  '<|eom_id|>',
  '<end_of_turn>',
  '<|endoftext|>',
  '<EOT>',
  '<｜end▁of▁sentence｜>',
];

/**
 * @param json a parsed tokenizer.json
 * @param ids special ids from tokenizer_config.json or GGUF metadata
 * @throws CupelError when a component of the file is not supported
 */
export function createTokenizer(json: TokenizerJson, ids: SpecialIds = {}): Tokenizer {
  const special = json.added_tokens.filter((token) => token.special);
  const specialTokens = new Map(special.map((token) => [token.content, token.id]));
  const added = json.added_tokens.filter((token) => !token.special);
  const specialIds = new Set(specialTokens.values());
  const engine = createEngine(json, special, added);
  const tokenOf = (id: number): string | undefined => engine.id_to_token(id);
  const encodeRun = (text: string): number[] =>
    text === '' ? [] : engine.encode(text, { add_special_tokens: false }).ids;
  const encode = (text: string): number[] => {
    const result = encodeRun(text);
    // a word equal to a control token, in families that look whole words up: break it after its first letter
    return result.some((id) => specialIds.has(id)) ? breakSpecials(text, specialTokens).flatMap(encodeRun) : result;
  };
  const byteLevel = JSON.stringify(json.decoder ?? {}).includes('"ByteLevel"');
  const decodeRun = (run: readonly number[]) =>
    run.length === 0
      ? ''
      : engine.decode([...run], { skip_special_tokens: false, clean_up_tokenization_spaces: false });
  const named = (id: number | undefined) => (id === undefined ? undefined : tokenOf(id));
  const endIds = new Set([...(ids.endIds ?? []), ...(ids.eosId === undefined ? [] : [ids.eosId])]);
  for (const name of END_NAMES) if (specialTokens.has(name)) endIds.add(specialTokens.get(name)!);
  return {
    encode,
    decode(run, { skipSpecial = false } = {}) {
      if (!byteLevel) return decodeRun(skipSpecial ? run.filter((id) => !specialIds.has(id)) : run);
      return splitRuns(run, specialIds)
        .map((part) => (typeof part === 'number' ? (skipSpecial ? '' : tokenOf(part)) : decodeRun(part)))
        .join('');
    },
    idOf: (token) => specialTokens.get(token) ?? engine.token_to_id(token),
    tokenOf,
    specialTokens,
    addedTokens: new Map(added.map((token) => [token.content, token.id])),
    vocabSize: countVocabulary(json),
    bosId: ids.bosId,
    eosId: ids.eosId,
    padId: ids.padId,
    unkId: ids.unkId,
    endIds: [...endIds],
    templateVariables: definedOnly({
      bos_token: named(ids.bosId),
      eos_token: named(ids.eosId),
      pad_token: named(ids.padId),
      unk_token: named(ids.unkId),
    }),
    json,
  };
}

/** The library's tokenizer, knowing control tokens only as vocabulary: so it can decode them but never finds them in text. */
function createEngine(json: TokenizerJson, special: AddedTokenJson[], added: AddedTokenJson[]): HuggingFaceTokenizer {
  const vocab = { ...json.model.vocab };
  for (const { content, id } of special) vocab[content] = id;
  const known = {
    ...json,
    added_tokens: added,
    post_processor: null,
    normalizer: json.normalizer ?? null,
    pre_tokenizer: json.pre_tokenizer ? exactPatterns(json.pre_tokenizer) : null,
    decoder: json.decoder ?? null,
    model: { ...json.model, vocab },
  };
  try {
    return new HuggingFaceTokenizer(known, {});
  } catch (cause) {
    throw new CupelError(`the tokenizer is not supported: ${(cause as Error).message}`, {
      place: { field: 'tokenizer.json' },
      cause,
    });
  }
}

/** Rewrites components whose JavaScript version treats Unicode digits or spaces unlike the original into explicit patterns. */
export function exactPatterns(component: ComponentJson): ComponentJson {
  if (component.type === 'Sequence') {
    const parts = component.pretokenizers as ComponentJson[];
    return { ...component, pretokenizers: parts.map(exactPatterns) };
  }
  if (component.type === 'Digits') return splitOn(component.individual_digits ? '\\p{N}' : '\\p{N}+');
  if (component.type === 'ByteLevel' && component.use_regex !== false && !component.add_prefix_space) {
    return { type: 'Sequence', pretokenizers: [splitOn(PRE_TOKENIZERS['gpt-2'].patterns[0]), BYTE_LEVEL] };
  }
  return component;
}

function breakSpecials(text: string, specialTokens: ReadonlyMap<string, number>): string[] {
  let parts = [text];
  for (const name of specialTokens.keys()) {
    parts = parts.flatMap((part) => {
      const pieces = part.split(name);
      return pieces.flatMap((piece, i) => [
        (i > 0 ? name.slice(1) : '') + piece + (i < pieces.length - 1 ? name.slice(0, 1) : ''),
      ]);
    });
  }
  return parts;
}

function splitRuns(ids: readonly number[], specialIds: ReadonlySet<number>): (number | number[])[] {
  const parts: (number | number[])[] = [];
  for (const id of ids) {
    const last = parts[parts.length - 1];
    if (specialIds.has(id)) parts.push(id);
    else if (Array.isArray(last)) last.push(id);
    else parts.push([id]);
  }
  return parts;
}

function countVocabulary(json: TokenizerJson): number {
  let most = -1;
  for (const id of Object.values(json.model.vocab)) most = Math.max(most, id);
  for (const { id } of json.added_tokens) most = Math.max(most, id);
  return most + 1;
}

function definedOnly(values: Record<string, string | undefined>): Record<string, string> {
  return Object.fromEntries(
    Object.entries(values).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
}
