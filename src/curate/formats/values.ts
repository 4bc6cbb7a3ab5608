// Looks into rows whose shape nobody guarantees.
import type { Json } from './convert.ts';

export function isObject(value: unknown): value is Json {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

/** A member that may have been written as JSON text, as CSV and Parquet exports do. */
export function unpacked(value: unknown): unknown {
  if (typeof value !== 'string' || !/^\s*[[{]/.test(value)) return value;
  try {
    return JSON.parse(value);
  } catch {
    return value;
  }
}

export function textOf(value: unknown): string | undefined {
  return typeof value === 'string' && value.trim() !== '' ? value : undefined;
}

/** Messages in a value: a list of them, or an object that holds one, or plain text as a user's turn. */
export function messagesIn(value: unknown): Json[] | undefined {
  const found = unpacked(value);
  if (Array.isArray(found) && found.length > 0 && found.every((item) => isObject(item) && 'role' in item)) {
    return found as Json[];
  }
  if (isObject(found)) return messagesIn(found.messages ?? found.input);
  const text = textOf(found);
  return text === undefined ? undefined : [{ role: 'user', content: text }];
}

/** The assistant's message in an answer: a completion, a message, a list that ends in one, or text. */
export function answerIn(value: unknown): { message: Json; finish_reason?: unknown } | undefined {
  const found = unpacked(value);
  if (typeof found === 'string') return found === '' ? undefined : { message: { role: 'assistant', content: found } };
  if (Array.isArray(found)) return found.length > 0 ? answerIn(found[found.length - 1]) : undefined;
  if (!isObject(found)) return undefined;
  const choice = Array.isArray(found.choices) ? (found.choices as unknown[])[0] : undefined;
  if (isObject(choice)) {
    const message = isObject(choice.message) ? choice.message : { role: 'assistant', content: choice.text ?? null };
    return { message, finish_reason: choice.finish_reason };
  }
  if ('content' in found || 'tool_calls' in found) return { message: { ...found, role: 'assistant' } };
  return isObject(found.message) ? answerIn(found.message) : undefined;
}

/** Labels as `tags` takes them: text by name. */
export function tagsOf(...sources: unknown[]): { tags?: Record<string, string> } {
  const tags: Record<string, string> = {};
  for (const source of sources) {
    if (!isObject(source)) continue;
    for (const [name, value] of Object.entries(source)) {
      if (['string', 'number', 'boolean'].includes(typeof value)) tags[name] = String(value);
    }
  }
  return Object.keys(tags).length > 0 ? { tags } : {};
}

/** Members that are there. */
export function present(members: Json): Json {
  return Object.fromEntries(Object.entries(members).filter(([, value]) => value !== undefined && value !== null));
}
