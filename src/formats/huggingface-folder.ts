// Opens a Hugging Face model folder: config.json, safetensors, tokenizer.json and the chat template in its several places.
import { existsSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';
import { CupelError } from '../base/errors.ts';
import type { Checkpoint } from './checkpoint.ts';
import { openSafetensorsFolder } from './safetensors-folder.ts';
import { createTokenizer, type SpecialIds, type Tokenizer } from './tokenizer.ts';
import type { TokenizerJson } from './tokenizer-json.ts';
import type { ConfigJson } from './weights.ts';

/** @throws CupelError naming the file that is missing or damaged */
export function openHuggingFaceFolder(path: string): Checkpoint {
  const whole = readJson(join(path, 'config.json'));
  const config = textConfig(whole);
  const settings = readOptionalJson(join(path, 'tokenizer_config.json')) ?? {};
  const weights = openSafetensorsFolder(path, textName);
  let tokenizer: Tokenizer | undefined;
  return {
    path,
    format: 'huggingface',
    name: basename(path),
    config,
    weights,
    get tokenizer() {
      tokenizer ??= readTokenizer(path, config, settings);
      return tokenizer;
    },
    chatTemplate: readChatTemplate(path, settings),
    licence: readLicence(path),
    close: () => weights.close(),
  };
}

/** Models with images keep the language model's config and tensors under a name of its own; only those are used. */
function textConfig(config: ConfigJson): ConfigJson {
  const text = config.text_config;
  const own: ConfigJson = isObject(text) ? { ...text, architectures: config.architectures } : config;
  // transformers 5 saves Qwen3-MoE's number of experts under another name than the hub has
  return own.model_type === 'qwen3_moe' && own.num_experts === undefined
    ? { ...own, num_experts: own.num_local_experts }
    : own;
}

function textName(name: string): string | undefined {
  if (/(^|\.)(vision_tower|multi_modal_projector|visual)\./.test(name)) return undefined;
  return name.replace(/^(model\.)?language_model\.(model\.)?/, 'model.').replace(/^model\.lm_head/, 'lm_head');
}

function readTokenizer(path: string, config: ConfigJson, settings: ConfigJson): Tokenizer {
  const file = join(path, 'tokenizer.json');
  if (!existsSync(file)) {
    throw new CupelError('has no tokenizer.json', {
      place: { file: path },
      remedy: 'save the tokenizer again with transformers (tokenizer.save_pretrained writes it), or use a GGUF file',
    });
  }
  const json = readJson(file) as unknown as TokenizerJson;
  if (!isObject(json.model) || !isObject(json.model.vocab) || !Array.isArray(json.added_tokens)) {
    throw new CupelError('is not a tokenizer of the tokenizers library', { place: { file, field: 'model' } });
  }
  return createTokenizer(json, specialIds(path, json, config, settings));
}

function specialIds(path: string, json: TokenizerJson, config: ConfigJson, settings: ConfigJson): SpecialIds {
  const ids = new Map(json.added_tokens.map(({ content, id }) => [content, id]));
  const named = (field: string) => {
    const value = settings[field];
    const content = isObject(value) ? value.content : value;
    return typeof content === 'string' ? (ids.get(content) ?? json.model.vocab[content]) : undefined;
  };
  const generation = readOptionalJson(join(path, 'generation_config.json')) ?? {};
  const numbers = (value: unknown) => [value].flat().filter((id): id is number => typeof id === 'number');
  const ends = [...numbers(generation.eos_token_id), ...numbers(config.eos_token_id)];
  return {
    bosId: named('bos_token') ?? numbers(config.bos_token_id)[0],
    eosId: named('eos_token') ?? ends[0],
    padId: named('pad_token') ?? numbers(config.pad_token_id)[0],
    unkId: named('unk_token'),
    endIds: ends,
  };
}

function readChatTemplate(path: string, settings: ConfigJson): string | undefined {
  const file = join(path, 'chat_template.jinja');
  if (existsSync(file)) return readFileSync(file, 'utf8');
  const alone = readOptionalJson(join(path, 'chat_template.json'))?.chat_template;
  const value = settings.chat_template ?? alone;
  if (typeof value === 'string') return value;
  if (!Array.isArray(value)) return undefined;
  const named = value.filter(isObject);
  const chosen = named.find((entry) => entry.name === 'default') ?? named[0];
  return typeof chosen?.template === 'string' ? chosen.template : undefined;
}

/** The licence named at the head of the model card. */
function readLicence(path: string): string | undefined {
  const file = join(path, 'README.md');
  if (!existsSync(file)) return undefined;
  const head = readFileSync(file, 'utf8')
    .slice(0, 20_000)
    .match(/^---\r?\n(.*?)\r?\n---/s)?.[1];
  return head?.match(/^license:\s*"?([^"\s]+)/m)?.[1];
}

function readOptionalJson(file: string): ConfigJson | undefined {
  return existsSync(file) ? readJson(file) : undefined;
}

function readJson(file: string): ConfigJson {
  let value: unknown;
  try {
    value = JSON.parse(readFileSync(file, 'utf8'));
  } catch (cause) {
    throw new CupelError(`not JSON: ${(cause as Error).message.slice(0, 200)}`, { place: { file }, cause });
  }
  if (isObject(value)) return value;
  throw new CupelError('must be a JSON object', { place: { file } });
}

const isObject = (value: unknown): value is Record<string, unknown> =>
  value !== null && typeof value === 'object' && !Array.isArray(value);
