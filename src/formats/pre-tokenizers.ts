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
  'A-Za-z\u00b5\u00c0-\u00d6\u00d8-\u00f6\u00f8-\u01ba\u01bc-\u01bf\u01c4-\u0293\u0295-\u02af\u0370-' +
  '\u0373\u0376\u0377\u037b-\u037d\u037f\u0386\u0388-\u038a\u038c\u038e-\u03a1\u03a3-\u03f5\u03f7-' +
  '\u0481\u048a-\u052f\u0531-\u0556\u10a0-\u10c5\u13a0-\u13f5\u13f8-\u13fd\u1c90-\u1cba\u1cbd-\u1cbf' +
  '\u1d00-\u1d2b\u1d6b-\u1d77\u1d79-\u1d9a\u1e00-\u1f15\u1f18-\u1f1d\u1f20-\u1f45\u1f48-\u1f4d\u1f50-' +
  '\u1f57\u1f59\u1f5b\u1f5d\u1f5f-\u1f7d\u1f80-\u1fb4\u1fb6-\u1fbc\u1fbe\u1fc2-\u1fc4\u1fc6-\u1fcc' +
  '\u1fd0-\u1fd3\u1fd6-\u1fdb\u1fe0-\u1fec\u1ff2-\u1ff4\u1ff6-\u1ffc\u2102\u2107\u210a-\u2113\u2115' +
  '\u2119-\u211d\u2124\u2126\u2128\u212a-\u212d\u212f-\u2134\u2139\u213c-\u213f\u2145-\u2149\u214e' +
  '\u2183\u2184\u2c00-\u2c7b\u2c7e-\u2ce4\u2ceb-\u2cee\u2cf2\u2cf3\ua640-\ua66d\ua680-\ua69b\ua722-' +
  '\ua76f\ua771-\ua787\ua78b-\ua78e\uab70-\uabbf\ufb00-\ufb06\ufb13-\ufb17\uff21-\uff3a\uff41-\uff5a' +
  '\u{10400}-\u{1044f}\u{104b0}-\u{104d3}\u{104d8}-\u{104fb}\u{10c80}-\u{10cb2}\u{10cc0}-\u{10cf2}' +
  '\u{118a0}-\u{118df}\u{1e900}-\u{1e943}';

const GPT2_RULE: PreTokenizerRule = { patterns: [GPT2] };
const SINGLE_DIGITS: PreTokenizerRule = { patterns: ['\\p{N}', GPT2] };
const LLAMA3: PreTokenizerRule = { patterns: [words('\\p{N}{1,3}')], ignoreMerges: true, addBos: true };
const QWEN2: PreTokenizerRule = { patterns: [words('\\p{N}')], nfc: true };
const DEEPSEEK_LLM: PreTokenizerRule = {
  patterns: [
    '[\\r\\n]',
    `\\s?[${CASED}]+`,
    '\\s?[!-/:-~\uff01-\uff0f\uff1a-\uff5e\u2018-\u201f\u3000-\u3002]+',
    '\\s+$',
    '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+',
    '\\p{N}+',
  ],
};
const DEEPSEEK3: PreTokenizerRule = {
  patterns: [
    '\\p{N}{1,3}',
    '[\u4e00-\u9fa5\u3040-\u309f\u30a0-\u30ff]+',
    '[!"#$%&\'()*+,\\-./:;<=>?@\\[\\\\\\]^_`{|}~][A-Za-z]+|[^\\r\\n\\p{L}\\p{P}\\p{S}]?[\\p{L}\\p{M}]+| ?[\\p{P}\\p{S}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+',
  ],
};
const DEEPSEEK_CODER: PreTokenizerRule = {
  patterns: ['[\\r\\n]', '\\s?\\p{L}+', '\\s?\\p{P}+', '[\u4e00-\u9fa5\u0800-\u4e00\uac00-\ud7ff]+', '\\p{N}'],
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
