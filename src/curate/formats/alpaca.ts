// Alpaca: `{"instruction": "…", "input": "…", "output": "…"}`; and rows of a prompt and its completion.
import type { Converted, Json } from './convert.ts';
import { answerIn, messagesIn, present, textOf, unpacked } from './values.ts';

export function alpaca(row: Json): Converted {
  if (!('instruction' in row) || 'messages' in row) return undefined;
  for (const name of ['instruction', 'output']) {
    if (typeof row[name] !== 'string')
      return { reason: `${name}: ${name in row ? 'not a text' : 'the field is missing'}` };
  }
  const messages: Json[] = [];
  const system = textOf(row.system);
  if (system) messages.push({ role: 'system', content: system });
  const history = unpacked(row.history) ?? [];
  if (!Array.isArray(history)) return { reason: 'history: not a list of [question, answer]' };
  for (const pair of history as unknown[]) {
    if (!Array.isArray(pair) || pair.length !== 2) return { reason: 'history: not a list of [question, answer]' };
    messages.push({ role: 'user', content: pair[0] }, { role: 'assistant', content: pair[1] });
  }
  const content = [row.instruction, textOf(row.input)].filter(Boolean).join('\n\n');
  messages.push({ role: 'user', content }, { role: 'assistant', content: row.output });
  return { rows: [present({ id: row.id, model: row.model, messages })] };
}

/** `prompt` and `completion` (or `response`), each text or a list of messages. */
export function promptCompletion(row: Json): Converted {
  if ('messages' in row || !('prompt' in row)) return undefined;
  const asked = messagesIn(row.prompt);
  const answered = answerIn(row.completion ?? row.response);
  if (!asked || !answered) return undefined;
  const { id, model, usage, reference, tags } = row;
  return { rows: [present({ id, model, usage, reference, tags, messages: [...asked, answered.message] })] };
}
