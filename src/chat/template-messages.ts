// Messages in the form that chat templates expect, and tools written as text for templates that know none.
import { type ChatMessage, messageText } from './messages.ts';

/** A message as a template sees it: text content, tool arguments as objects. */
export interface TemplateMessage {
  role: string;
  content: string | null;
  [field: string]: unknown;
}

/** @param template decides whether "developer" is a role of its own */
export function templateMessages(template: string, messages: readonly ChatMessage[]): TemplateMessage[] {
  return messages.map((message) => {
    const { role, content: _, tool_calls: calls, ...rest } = message;
    const named = role === 'developer' && !template.includes('developer') ? 'system' : role;
    const content = message.content == null && calls?.length ? null : messageText(message);
    if (!calls?.length) return { ...rest, role: named, content };
    return { ...rest, role: named, content, tool_calls: calls.map(openArguments) };
  });
}

/** Templates write arguments with `tojson`, so they must be objects, while the API carries them as text. */
function openArguments(call: NonNullable<ChatMessage['tool_calls']>[number]) {
  const parsed = parseObject(call.function.arguments);
  return { ...call, function: { ...call.function, arguments: parsed ?? call.function.arguments } };
}

function parseObject(text: string): object | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return value !== null && typeof value === 'object' ? value : undefined;
  } catch {
    return undefined;
  }
}

/**
 * For a template that ignores tools, their definitions go into the system message, calls and results into the text
 * (in Qwen's notation, which small models know best), so that nothing is lost without a word.
 */
export function foldTools(
  template: string,
  messages: TemplateMessage[],
  tools?: readonly unknown[],
): { messages: TemplateMessage[]; tools?: readonly unknown[] } {
  const wanted = tools?.length ? tools : undefined;
  if (/\btools\b|\btool_calls\b/.test(template)) return { messages, tools: wanted };
  const plain = messages.map(toolsAsText);
  if (!wanted) return { messages: plain };
  const definitions = wanted.map((tool) => JSON.stringify(tool)).join('\n');
  const text = `# Tools\n\nCall a function with <tool_call>{"name": ..., "arguments": {...}}</tool_call>.\n<tools>\n${definitions}\n</tools>`;
  const [first, ...rest] = plain;
  if (first?.role === 'system') return { messages: [{ ...first, content: `${first.content}\n\n${text}` }, ...rest] };
  return { messages: [{ role: 'system', content: text }, ...plain] };
}

function toolsAsText(message: TemplateMessage): TemplateMessage {
  if (message.role === 'tool') {
    return { role: 'user', content: `<tool_response>\n${message.content ?? ''}\n</tool_response>` };
  }
  const { tool_calls: calls, ...rest } = message;
  if (!Array.isArray(calls)) return message;
  const written = calls.map(({ function: { name, arguments: given } }) => {
    return `<tool_call>\n${JSON.stringify({ name, arguments: given })}\n</tool_call>`;
  });
  return { ...rest, content: [message.content, ...written].filter(Boolean).join('\n') };
}
