// Which language a text is in, as far as curation cares: Chinese, English, both, or something else.

export type Language = 'zh' | 'en' | 'mixed' | 'other' | 'none';

/**
 * By the share of scripts: a Han character counts as two Latin letters, because it says about as much.
 * `none` is a text without letters; Japanese and Korean are `other`.
 */
export function languageOf(text: string): Language {
  const han = count(text, /\p{Script=Han}/gu) * 2;
  const latin = count(text, /\p{Script=Latin}/gu);
  const all = han + latin + count(text, /(?!\p{Script=Han}|\p{Script=Latin})\p{L}/gu);
  if (all === 0) return 'none';
  const kana = count(text, /[\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/gu);
  if (kana > 0.1 * all || han + latin < 0.7 * all) return 'other';
  if (han > 0.8 * all) return 'zh';
  return latin > 0.8 * all ? 'en' : 'mixed';
}

function count(text: string, pattern: RegExp): number {
  return text.match(pattern)?.length ?? 0;
}
