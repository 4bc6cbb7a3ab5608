// Answers that teach the wrong thing: refusals and answers that were cut off.

/** Openings of refusals, in English and Chinese; the whole answer must begin so. */
const REFUSALS: RegExp[] = [
  /^(?:i['’]?m (?:very |really |so )?(?:sorry|afraid)|i am (?:very |really |so )?(?:sorry|afraid)|sorry|i apologi[sz]e|unfortunately|(?:my )?apologies)[,.!]?\s*(?:but\s+|that\s+)?(?:i['’]?m|i am|i|as an? (?:ai|language model)[^.]{0,60}i)\s*(?:can['’]?t|cannot|can not|am unable|unable|won['’]?t|will not|am not able|not able|(?:do not|don['’]?t) have (?:any |the )?(?:access|abilit|capabilit|permission|information|personal|real))/i,
  // a business that says "we cannot" mostly answers: only where it is the request itself that it turns down
  /^(?:i['’]?m (?:very |really |so )?(?:sorry|afraid)|i am (?:very |really |so )?(?:sorry|afraid)|sorry|i apologi[sz]e|unfortunately|(?:my |our )?apologies)[,.!]?\s*(?:but\s+|that\s+)?we(?: are|['’]re)?\s*(?:can['’]?t|cannot|can not|unable to|not able to|won['’]?t|will not)\s+(?:help|assist|answer|comply|fulfil|discuss|engage|(?:provide|share|create|generate) (?:that|this|such|any))/i,
  /^i\s*(?:can['’]?t|cannot|am unable to|['’]m unable to|won['’]?t(?: be able to)?|will not be able to|am not able to|['’]m not able to)\s+(?:help|assist|provide|comply|answer|discuss|do (?:that|this)|fulfil|support|engage|create|generate|share)/i,
  /^as an? (?:ai|artificial intelligence|(?:large )?language model)\b/i,
  /^i must (?:decline|refuse)/i,
  /^我?(?:很|非常|十分)?(?:抱歉|遗憾|对不起|不好意思)[，,。！!]?\s*(?:但是?)?(?:作为[^。！？\n]{0,20}?)?(?:这个|该|您的|你的)?[^。！？，,\n]{0,6}?(?:我(?!们)|作为)[^。！？\n]{0,30}?(?:无法|不能|没办法|没法|不可以|无权|不会)/,
  /^我?(?:很|非常|十分)?(?:抱歉|遗憾|对不起|不好意思)[，,。！!]?\s*(?:但是?)?我们[^。！？，,\n]{0,4}?(?:无法|不能|没办法|没法)(?:为您|帮您)?(?:回答|解答|协助|帮助|满足|提供(?:该|此|这|相关|任何)|完成(?:该|此|这|您的|你的))/,
  /^作为(?:一个|一名)?(?:AI|ai|人工智能|大?语言模型)/,
  /^我(?:无法|不能|没法)(?:为您|帮助|协助|提供|回答|满足|完成)/,
];

/** True when the answer refuses to do the job. */
export function isRefusal(answer: string): boolean {
  const text = answer.trim();
  return REFUSALS.some((pattern) => pattern.test(text));
}

/** Why an answer counts as cut off; undefined when it does not. `finish` is the API's `finish_reason`, where known. */
export function truncation(answer: string, finish: unknown): string | undefined {
  if (finish === 'length' || finish === 'max_tokens') return 'the limit of tokens was reached';
  if (finish === 'content_filter') return 'a content filter cut it off';
  const text = answer.trim();
  if (/^[[{]/.test(text) && !isJson(text) && isOpen(text)) return 'its JSON is not closed';
  const fences = text.match(/^\s*```/gm)?.length ?? 0;
  return fences % 2 === 1 ? 'its code block is not closed' : undefined;
}

function isJson(text: string): boolean {
  try {
    JSON.parse(text);
    return true;
  } catch {
    return false;
  }
}

/** More brackets are opened than closed, outside of strings. */
function isOpen(text: string): boolean {
  const bare = text.replace(/"(?:[^"\\]|\\.)*("|$)/gs, '');
  const count = (pattern: RegExp) => bare.match(pattern)?.length ?? 0;
  return count(/[[{]/g) > count(/[\]}]/g);
}
