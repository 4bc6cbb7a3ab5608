// ShareGPT: `{"conversations": [{"from": "human", "value": "…"}, {"from": "gpt", "value": "…"}]}` and its many dialects.
import type { Converted, Json } from './convert.ts';
import { isObject, present, textOf, unpacked } from './values.ts';

const ROLES: Record<string, string> = {
  system: 'system',
  human: 'user',
  user: 'user',
  gpt: 'assistant',
  assistant: 'assistant',
  chatgpt: 'assistant',
  bot: 'assistant',
  model: 'assistant',
  function_call: 'call',
  observation: 'tool',
  function_response: 'tool',
  tool: 'tool',
};

export function shareGpt(row: Json): Converted {
  const turns = unpacked(row.conversations ?? row.conversation ?? row.items);
  if (!Array.isArray(turns) || 'messages' in row) return undefined;
  const messages: Json[] = [];
  const system = textOf(row.system);
  if (system) messages.push({ role: 'system', content: system });
  const chat = turns.length > 0 && turns.every(isMessage);
  if (chat) messages.push(...(turns as Json[]));
  else
    for (const [i, turn] of turns.entries()) {
      const message = isObject(turn) ? messageOf(turn) : undefined;
      if (!message) return { reason: `conversations[${i}]: not a turn of ShareGPT with a known "from"` };
      messages.push(message);
    }
  const tools = unpacked(row.tools);
  const { id, model } = row;
  return { rows: [present({ id, model, messages, tools: Array.isArray(tools) ? tools : undefined })] };
}

/** A turn that is an OpenAI message already; it may have calls, or content in parts. */
function isMessage(turn: unknown): boolean {
  return isObject(turn) && !('from' in turn) && MESSAGE.has(turn.role);
}

const MESSAGE = new Set<unknown>(['system', 'developer', 'user', 'assistant', 'tool']);

function messageOf(turn: Json): Json | undefined {
  const role = ROLES[String(turn.from ?? turn.role ?? '').toLowerCase()];
  const content = turn.value ?? turn.content ?? turn.text;
  if (!role || typeof content !== 'string') return undefined;
  return role === 'call' ? callOf(content) : { role, content };
}

/** LLaMA-Factory's dialect writes a call as `{"name": …, "arguments": {…}}`. */
function callOf(text: string): Json | undefined {
  const call = unpacked(text);
  if (!isObject(call) || typeof call.name !== 'string') return undefined;
  const args = typeof call.arguments === 'string' ? call.arguments : JSON.stringify(call.arguments ?? {});
  return {
    role: 'assistant',
    content: null,
    tool_calls: [{ type: 'function', function: { name: call.name, arguments: args } }],
  };
}
