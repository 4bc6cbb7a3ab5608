// Log-probabilities spell the answer once more, token by token: a secret must go there too, though no token holds all of it.

/** A place in the text of all tokens together, and what stands in its stead. */
export interface Replacement {
  start: number;
  end: number;
  text: string;
}

type Json = Record<string, unknown>;
type Find = (text: string) => Replacement[];

/** The `content` or `refusal` of chat log-probabilities without secrets; the same list where there are none. */
export function withoutSecrets(items: readonly Json[], find: Find): readonly Json[] {
  const touched = replaced(
    items.map(({ token }) => token as string),
    find,
  );
  if (!touched) return items;
  // what else was likely there, and the bytes, spell it too
  return items.map((item, i) => {
    const token = touched[i];
    if (token === undefined) return item;
    return { ...item, token, bytes: null, ...('top_logprobs' in item ? { top_logprobs: [] } : {}) };
  });
}

/** The log-probabilities of text completions: parallel lists of `tokens` and `top_logprobs`. */
export function withoutSecretsInLists(lists: Json, find: Find): Json {
  const tokens = lists.tokens as string[];
  const touched = replaced(tokens, find);
  if (!touched) return lists;
  const top = lists.top_logprobs;
  return {
    ...lists,
    tokens: tokens.map((token, i) => touched[i] ?? token),
    ...(Array.isArray(top) ? { top_logprobs: top.map((likely, i) => (touched[i] === undefined ? likely : null)) } : {}),
  };
}

export function isTokenList(value: unknown): value is Json[] {
  return Array.isArray(value) && value.length > 0 && value.every((item) => typeof item?.token === 'string');
}

/**
 * A field that spells prompt or answer once more, as ids or with the likely tokens in an order that JSON does not keep: no
 * secret can be found in it, so none of it is recorded. vLLM's `token_ids`, `prompt_token_ids`, `prompt_logprobs` and tokens
 * named `token_id:…`; the ids that transcriptions have as `tokens`.
 */
export function spellsAgain(name: string, value: unknown): boolean {
  if (!Array.isArray(value) || value.length === 0) return false;
  if (name === 'token_ids' || name === 'prompt_token_ids' || name === 'prompt_logprobs') return true;
  if (name === 'tokens') return value.every(isId);
  if (name === 'top_logprobs') return value.every((likely) => likely === null || Object.keys(likely).every(isId));
  return (name === 'content' || name === 'refusal') && isTokenList(value) && value.every(({ token }) => isId(token));
}

function isId(token: unknown): boolean {
  return typeof token === 'number' || (typeof token === 'string' && /^token_id:\d+$/.test(token));
}

/** New texts of the tokens that a secret reaches into; undefined when there is no secret. */
function replaced(tokens: readonly string[], find: Find): (string | undefined)[] | undefined {
  const found = find(tokens.join(''));
  if (found.length === 0) return undefined;
  let from = 0;
  return tokens.map((token) => {
    const [start, end] = [from, from + token.length];
    from = end;
    const inside = found.filter((one) => one.start < end && start < one.end);
    if (inside.length === 0) return undefined;
    let text = '';
    let at = start;
    for (const one of inside) {
      text += token.slice(at - start, Math.max(one.start, start) - start);
      if (one.start >= start) text += one.text;
      at = Math.min(one.end, end);
    }
    return text + token.slice(at - start);
  });
}
