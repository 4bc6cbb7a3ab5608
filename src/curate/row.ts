// One line of a traces file: checked field by field and turned into an Example, or refused with the reason.
import { z } from 'zod';
import { canonicalJson, hashJson } from '../base/hash.ts';
import { ChatMessage, type Example, messageText, Usage } from '../chat/messages.ts';

export interface RowLimits {
  /** Characters of all messages together. */
  maxCharacters: number;
}

export type Row = Omit<Example, 'line'> & {
  /** Hash of what was said (messages, tools, reference), whatever the id, model or usage. */
  content: string;
  /** Turns after the last assistant turn that were cut off. */
  trimmed: number;
};

export type RowResult = { row: Row } | { reason: string };

const Traced = z.looseObject({
  id: z.union([z.string().min(1), z.number()]).nullish(),
  messages: z.array(z.preprocess(withoutNulls, ChatMessage)),
  tools: z.array(z.unknown()).nullish(),
  model: z.string().nullish(),
  usage: z.preprocess(openaiUsage, Usage.nullish()).optional(),
  reference: z.unknown().optional(),
  tags: z.record(z.string(), z.union([z.string(), z.number(), z.boolean()])).nullish(),
});
type Traced = z.infer<typeof Traced>;

/** Logs and `model_dump()` write the fields of a message that it does not have as null, e.g. `"tool_calls": null`. */
function withoutNulls(message: unknown): unknown {
  if (message === null || typeof message !== 'object') return message;
  return Object.fromEntries(Object.entries(message).filter(([name, value]) => value !== null || name === 'content'));
}

/**
 * Reads a line of OpenAI chat JSONL. Turns after the last assistant turn (the customer's "thanks", a tool result that was
 * never answered) are cut off: they teach nothing, and the answers before them are good.
 */
export function readRow(text: string, limits: RowLimits): RowResult {
  const value = parseJson(text);
  if ('reason' in value) return value;
  const parsed = Traced.safeParse(value.json);
  if (!parsed.success) return { reason: describeIssue(parsed.error.issues[0]) };
  const traced = parsed.data;
  const last = traced.messages.findLastIndex((message) => message.role === 'assistant');
  const messages = traced.messages.slice(0, last + 1);
  const reason = refusal(messages, limits);
  if (reason) return { reason };
  const reference = referenceText(traced.reference);
  const said = { messages, tools: traced.tools ?? undefined, reference };
  const content = hashJson(said);
  const id = traced.id == null ? content.slice(0, 16) : String(traced.id);
  return { row: { id, ...said, ...labels(traced), content, trimmed: traced.messages.length - messages.length } };
}

function parseJson(text: string): { json: object } | { reason: string } {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    return { reason: `not JSON: ${(error as Error).message}` };
  }
  if (json === null || typeof json !== 'object' || Array.isArray(json)) {
    return {
      reason: `not a JSON object but ${Array.isArray(json) ? 'an array' : json === null ? 'null' : typeof json}`,
    };
  }
  if (!('messages' in json)) return { reason: 'messages: the field is missing' };
  return { json };
}

function refusal(messages: ChatMessage[], limits: RowLimits): string | undefined {
  if (messages.length === 0) return 'no assistant turn';
  const answer = messages[messages.length - 1];
  if (isBlank(messageText(answer)) && !answer.tool_calls?.length)
    return 'empty answer: the last assistant turn has no text';
  const asked = messages.filter((message) => message.role === 'user');
  if (asked.length === 0) return 'no user turn before the answer';
  if (asked.every((message) => isBlank(messageText(message)) && !hasParts(message))) return 'empty user turn';
  const characters = messages.reduce((sum, message) => sum + messageText(message).length, 0);
  if (characters > limits.maxCharacters) {
    return `over-long: ${characters} characters, the limit is ${limits.maxCharacters}`;
  }
  const broken = messages.findIndex((message) => LONE_SURROGATE.test(messageText(message)));
  return broken < 0 ? undefined : `messages[${broken}].content: half of a character (unpaired surrogate)`;
}

const LONE_SURROGATE = /\p{Cs}/u;

function isBlank(text: string): boolean {
  return text.trim() === '';
}

/** Images and sounds count as content, though they have no text. */
function hasParts(message: ChatMessage): boolean {
  return Array.isArray(message.content) && message.content.some((part) => part.type !== 'text');
}

/** A reference that is JSON is kept as canonical text, so that key order does not matter. */
function referenceText(reference: unknown): string | undefined {
  if (reference === undefined || reference === null) return undefined;
  return typeof reference === 'string' ? reference : canonicalJson(reference);
}

function labels(traced: Traced): Pick<Example, 'model' | 'usage' | 'tags'> {
  return {
    ...(traced.model ? { model: traced.model } : {}),
    ...(traced.usage ? { usage: traced.usage } : {}),
    ...(traced.tags
      ? { tags: Object.fromEntries(Object.entries(traced.tags).map(([key, value]) => [key, String(value)])) }
      : {}),
  };
}

/** Streams without usage leave `{}`; Anthropic's and the Responses API's names are taken too. */
function openaiUsage(usage: unknown): unknown {
  if (usage === null || typeof usage !== 'object' || Array.isArray(usage)) return usage;
  const given = usage as Record<string, unknown>;
  if (Object.keys(given).length === 0) return undefined;
  if (!('input_tokens' in given) || 'prompt_tokens' in given) return given;
  const cached = given.cache_read_input_tokens;
  // Anthropic counts tokens read from its cache, and written into it, beside input_tokens, OpenAI within prompt_tokens
  const count = (value: unknown) => (typeof value === 'number' && typeof given.input_tokens === 'number' ? value : 0);
  const beside = count(cached);
  const written = count(given.cache_creation_input_tokens);
  return {
    prompt_tokens: beside + written > 0 ? (given.input_tokens as number) + beside + written : given.input_tokens,
    completion_tokens: given.output_tokens,
    prompt_tokens_details: given.input_tokens_details ?? (beside ? { cached_tokens: beside } : undefined),
    completion_tokens_details: given.output_tokens_details,
  };
}

function describeIssue(issue: z.core.$ZodIssue): string {
  const path = issue.path.reduce<string>(
    (text, part) => (typeof part === 'number' ? `${text}[${part}]` : text ? `${text}.${String(part)}` : String(part)),
    '',
  );
  return path ? `${path}: ${issue.message}` : issue.message;
}
