// OpenAI's Responses API: a request's instructions and input items, and a response's output items, as chat messages.
import type { Json } from './convert.ts';
import { isObject, present } from './values.ts';

/** What a recorded call holds, of whichever API. */
export interface Conversation {
  asked: Json[];
  answer: Json;
  tools: unknown;
  usage: unknown;
  finish_reason: unknown;
}

/** A request and its answer are of the Responses API. */
export function isResponse(request: Json, response: unknown): boolean {
  return 'input' in request && isObject(response) && response.object === 'response' && Array.isArray(response.output);
}

/** The conversation, or why it is none. */
export function conversationOf(request: Json, response: Json): Conversation | { reason: string } {
  if (request.previous_response_id || request.conversation) {
    return { reason: 'goes on from an earlier response, which the request does not hold' };
  }
  const { instructions, input } = request;
  const items = typeof input === 'string' ? [{ role: 'user', content: input }] : input;
  const system = typeof instructions === 'string' ? [{ role: 'system', content: instructions }] : [];
  const asked = messagesOf(items);
  const answered = messagesOf(response.output);
  if (!Array.isArray(asked)) return asked;
  if (!Array.isArray(answered)) return answered;
  const answer = answered.pop();
  if (answer?.role !== 'assistant') return { reason: 'the response has no message and no call' };
  const cut = isObject(response.incomplete_details) ? response.incomplete_details.reason : undefined;
  return {
    asked: [...system, ...asked, ...answered],
    answer,
    tools: toolsOf(request.tools),
    usage: usageOf(response.usage),
    finish_reason: cut === undefined ? 'stop' : cut === 'max_output_tokens' ? 'length' : String(cut),
  };
}

function messagesOf(items: unknown): Json[] | { reason: string } {
  const messages: Json[] = [];
  for (const item of Array.isArray(items) ? (items as unknown[]) : []) {
    if (isObject(item) && add(messages, item)) continue;
    return { reason: `not a message or a call: ${isObject(item) ? String(item.type) : typeof item}` };
  }
  return messages;
}

/** Adds what an item says; false for one that a chat cannot hold, such as a search on OpenAI's side. */
function add(messages: Json[], item: Json): boolean {
  if (item.type === 'reasoning') return true;
  if (item.type === 'function_call') return addCall(messages, item);
  if (item.type === 'function_call_output') {
    messages.push({ role: 'tool', tool_call_id: item.call_id, content: textOr(item.output) });
    return true;
  }
  if (typeof item.role !== 'string' || (item.type !== undefined && item.type !== 'message')) return false;
  messages.push({ role: item.role, content: contentOf(item.content) });
  return true;
}

/** Calls that follow each other, or the text before them, are one message. */
function addCall(messages: Json[], { call_id, name, arguments: args }: Json): boolean {
  let last = messages.at(-1);
  if (last?.role !== 'assistant') {
    last = { role: 'assistant', content: null };
    messages.push(last);
  }
  const calls = (last.tool_calls ?? []) as Json[];
  last.tool_calls = [...calls, { id: call_id, type: 'function', function: { name, arguments: args } }];
  return true;
}

/** Text alone becomes a string; images stay parts, under the names they have in chats. */
function contentOf(content: unknown): unknown {
  if (!Array.isArray(content)) return content;
  const parts = content.filter(isObject);
  if (parts.every(({ text }) => typeof text === 'string')) return parts.map(({ text }) => text).join('');
  return parts.map((part) => {
    if (typeof part.text === 'string') return { type: 'text', text: part.text };
    if (part.type !== 'input_image') return part;
    return { type: 'image_url', image_url: present({ url: part.image_url, detail: part.detail }) };
  });
}

function textOr(output: unknown): string {
  const content = contentOf(output);
  return typeof content === 'string' ? content : JSON.stringify(content);
}

function toolsOf(tools: unknown): Json[] | undefined {
  const functions = (Array.isArray(tools) ? tools : []).filter(isObject).filter(({ type }) => type === 'function');
  return functions.length > 0 ? functions.map(({ type, ...rest }) => ({ type, function: rest })) : undefined;
}

function usageOf(usage: unknown): Json | undefined {
  if (!isObject(usage)) return undefined;
  const { input_tokens, output_tokens, input_tokens_details, output_tokens_details } = usage;
  return present({
    prompt_tokens: input_tokens,
    completion_tokens: output_tokens,
    prompt_tokens_details: input_tokens_details,
    completion_tokens_details: output_tokens_details,
  });
}
