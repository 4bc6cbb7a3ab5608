// Finds llama.cpp's name for the way a tokenizer.json splits text into words, by comparing what both make of a probe text.
import { Tokenizer as HuggingFaceTokenizer } from '@huggingface/tokenizers';
import { CupelError } from '../base/errors.ts';
import { PRE_TOKENIZERS } from './pre-tokenizers.ts';
import { exactPatterns } from './tokenizer.ts';
import { BYTE_LEVEL, type ComponentJson, splitOn, type TokenizerJson } from './tokenizer-json.ts';

/** Spaces, letters of many scripts, digits, punctuation, contractions: whatever the rules at hand treat differently. */
const PROBE =
  '\n \n\n \n\n\n \t \t\t \t\n  \n   \n    \n     \n🚀 (normal) 😶‍🌫️ ✅ 🦙🦙 3 33 333 3333 33333 3.3 3..3 3...3 ٣٤٥ Ⅷ½² កាន់តែពិសេសអាច😁 ' +
  "?我想在apple工作1314151天～ ------======= нещо на Български ''''''```````\"\"\"\"......!!!!!!?????? I've been " +
  "'told he's there, 'RE you sure? 'M not sure I'll make it, 'D you like some tea? We'Ve a'lL aa\r\nb c$^=+~|<x>[y]{z} カタカナ 안녕 ǅ ﷽ a​b ";

/** @throws CupelError when no known rule splits the probe alike */
export function findPreTokenizer(json: TokenizerJson): string {
  const wanted = wordsOf(exactPatterns(json.pre_tokenizer!));
  const normalised = JSON.stringify(json.normalizer ?? {}).includes('"NFC"');
  const found = Object.entries(PRE_TOKENIZERS).filter(
    ([, rule]) =>
      same(wordsOf({ type: 'Sequence', pretokenizers: [...rule.patterns.map(splitOn), BYTE_LEVEL] }), wanted) &&
      (rule.nfc ?? false) === normalised,
  );
  // rules that split alike may still differ in how they treat whole words
  const ignoring = json.model.ignore_merges === true;
  const best = found.find(([, rule]) => (rule.ignoreMerges ?? false) === ignoring) ?? found[0];
  if (best) return best[0];
  throw new CupelError('llama.cpp has no name for the way this tokenizer splits words', {
    place: { file: 'tokenizer.json', field: 'pre_tokenizer' },
    remedy: `use a model of one of these kinds: ${Object.keys(PRE_TOKENIZERS).join(', ')}`,
  });
}

const same = (a: readonly string[], b: readonly string[]): boolean =>
  a.length === b.length && a.every((word, i) => word === b[i]);

function wordsOf(component: ComponentJson): string[] {
  const model = { type: 'BPE', vocab: {}, merges: [], unk_token: null };
  const json = { added_tokens: [], normalizer: null, pre_tokenizer: component, post_processor: null, decoder: null };
  return new HuggingFaceTokenizer({ ...json, model }, {}).pre_tokenizer!.pre_tokenize(PROBE);
}
