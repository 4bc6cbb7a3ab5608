// How each family splits text into words before byte-pair merging: llama.cpp's `tokenizer.ggml.pre` names and their patterns.

export interface PreTokenizerRule {
  /** Applied one after another; matches and the gaps between them are kept. */
  patterns: readonly string[];
  /** A word that is a token as a whole is taken before any merge. */
  ignoreMerges?: boolean;
  /** Text is brought to Unicode NFC first, as the original tokenizer does (llama.cpp does not; the ids sent to it are ours). */
  nfc?: boolean;
  addBos?: boolean;
}

const CONTRACTIONS = "(?:'[sS]|'[tT]|'[rR][eE]|'[vV][eE]|'[mM]|'[lL][lL]|'[dD])";
const GPT2 = "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";
const words = (digits: string) =>
  `${CONTRACTIONS}|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|${digits}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+`;
// letters that have an upper and a lower case, as DeepSeek's tokenizer.json lists them
const CASED =
  'A-Za-zµÀ-ÖØ-öø-ƺƼ-ƿǄ-ʓʕ-ʯͰ-ͳͶͷͻ-ͽͿΆΈ-ΊΌΎ-ΡΣ-ϵϷ-ҁҊ-ԯԱ-ՖႠ-ჅᎠ-Ᏽᏸ-ᏽᲐ-ᲺᲽ-Ჿᴀ-ᴫᵫ-ᵷᵹ-ᶚḀ-ἕἘ-Ἕἠ-ὅὈ-Ὅὐ-ὗὙὛὝὟ-ώᾀ-ᾴᾶ-ᾼιῂ-ῄῆ-ῌῐ-ΐῖ-Ίῠ-Ῥῲ-ῴῶ-ῼℂℇℊ-ℓℕℙ-ℝℤΩℨK-ℭℯ-ℴℹℼ-ℿⅅ-ⅉⅎↃↄⰀ-ⱻⱾ-ⳤⳫ-ⳮⳲⳳꙀ-ꙭꚀ-ꚛꜢ-ꝯꝱ-ꞇꞋ-ꞎꭰ-ꮿﬀ-ﬆﬓ-ﬗＡ-Ｚａ-ｚ𐐀-𐑏𐒰-𐓓𐓘-𐓻𐲀-𐲲𐳀-𐳲𑢠-𑣟𞤀-𞥃';

const GPT2_RULE: PreTokenizerRule = { patterns: [GPT2] };
const SINGLE_DIGITS: PreTokenizerRule = { patterns: ['\\p{N}', GPT2] };
const LLAMA3: PreTokenizerRule = { patterns: [words('\\p{N}{1,3}')], ignoreMerges: true, addBos: true };
const QWEN2: PreTokenizerRule = { patterns: [words('\\p{N}')], nfc: true };
const DEEPSEEK_LLM: PreTokenizerRule = {
  patterns: ['[\\r\\n]', `\\s?[${CASED}]+`, '\\s?[!-/:-~！-／：-～‘-‟　-。]+', '\\s+$', '[一-龥ࠀ-一가-퟿]+', '\\p{N}+'],
};
const DEEPSEEK3: PreTokenizerRule = {
  patterns: [
    '\\p{N}{1,3}',
    '[一-龥぀-ゟ゠-ヿ]+',
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  ],
};
const DEEPSEEK_CODER: PreTokenizerRule = {
  patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[一-龥ࠀ-一가-퟿]+', '\\p{N}'],
};
// what llama.cpp falls back to for a file without a name
const FALLBACK: PreTokenizerRule = {
  patterns: ['[\\p{P}\\$\\+<=>\\^~\\|]+', GPT2, '\\p{N}+', '[0-9][0-9][0-9]'],
};

/** Rules by `tokenizer.ggml.pre`. The patterns are those of llama.cpp's src/llama-vocab.cpp (MIT) and of the models' tokenizer.json. */
export const PRE_TOKENIZERS: Readonly<Record<string, PreTokenizerRule>> = {
  default: FALLBACK,
  'gpt-2': GPT2_RULE,
  olmo: GPT2_RULE,
  mpt: GPT2_RULE,
  smollm: SINGLE_DIGITS,
  starcoder: SINGLE_DIGITS,
  refact: SINGLE_DIGITS,
  'command-r': SINGLE_DIGITS,
  exaone: SINGLE_DIGITS,
  'llama-bpe': LLAMA3,
  llama3: LLAMA3,
  'llama-v3': LLAMA3,
  dbrx: { patterns: LLAMA3.patterns },
  'smaug-bpe': { patterns: LLAMA3.patterns },
  qwen2: QWEN2,
  'deepseek-r1-qwen': { ...QWEN2 },
  'deepseek-llm': DEEPSEEK_LLM,
  'deepseek-coder': DEEPSEEK_CODER,
  'deepseek-v3': DEEPSEEK3,
};
