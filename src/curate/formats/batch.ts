// OpenAI batch files: requests and answers are lines of two files and belong together by `custom_id`.
import type { Converted, Json } from './convert.ts';
import { conversationOf, isResponse } from './responses.ts';
import { answerIn, isObject, messagesIn, present } from './values.ts';

/** Requests and answers whose other half has not come yet. */
export interface BatchMemory {
  requests: Map<string, Json>;
  answers: Map<string, Json>;
}

export function batchMemory(): BatchMemory {
  return { requests: new Map(), answers: new Map() };
}

/** Both files in one, in any order (`cat input.jsonl output.jsonl`): a row comes out when its second half is read. */
export function batchLine(row: Json, memory: BatchMemory): Converted {
  const id = row.custom_id;
  if (typeof id !== 'string') return undefined;
  if (isObject(row.body) && 'url' in row) {
    const answer = memory.answers.get(id);
    memory.answers.delete(id);
    if (answer) return joined(id, row.body, answer);
    memory.requests.set(id, row.body);
    return { rows: [] };
  }
  if (!('response' in row)) return undefined;
  const request = memory.requests.get(id);
  memory.requests.delete(id);
  if (request) return joined(id, request, row);
  memory.answers.set(id, row);
  return { rows: [] };
}

/** Answers that stayed without their request, once all lines were read. */
export function orphans({ answers }: BatchMemory): number {
  return answers.size;
}

function joined(id: string, request: Json, answer: Json): Converted {
  const response = isObject(answer.response) ? answer.response : {};
  const status = response.status_code;
  if (isObject(answer.error)) return { reason: `failed in the batch: ${String(answer.error.message ?? 'unknown')}` };
  if (typeof status === 'number' && status >= 400) return { reason: `failed in the batch: status ${status}` };
  const body = isObject(response.body) ? response.body : {};
  const model = body.model ?? request.model;
  if (isResponse(request, body)) {
    const said = conversationOf(request, body);
    if ('reason' in said) return said;
    const { asked, answer: message, ...rest } = said;
    return { rows: [present({ id, model, ...rest, messages: [...asked, message] })] };
  }
  const asked = messagesIn(request.messages);
  const answered = answerIn(body);
  if (!asked || !answered) return { reason: 'not a chat completion' };
  const messages = [...asked, answered.message];
  const { finish_reason } = answered;
  return {
    rows: [
      present({
        id,
        model,
        tools: request.tools,
        usage: body.usage,
        finish_reason,
        messages,
      }),
    ],
  };
}
