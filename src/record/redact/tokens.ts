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
