// The gateway's own recordings: request and response as they passed, with usage, tags and what was said of them later.
import type { Converted, Json } from './convert.ts';
import { type Conversation, conversationOf, isResponse } from './responses.ts';
import { answerIn, isObject, messagesIn, present, tagsOf, unpacked } from './values.ts';

/**
 * A corrected answer takes the place of the recorded one (tag `corrected`), because the rows are for training; the last
 * score is kept as tag `score`.
 */
export function recording(row: Json): Converted {
  const request = unpacked(row.request);
  const response = unpacked(row.response);
  if (!isObject(request) || !('response' in row)) return undefined;
  const isChat = Array.isArray(request.messages);
  if (!isChat && !isResponse(request, response)) return undefined;
  if (row.outcome !== undefined && row.outcome !== 'complete')
    return { reason: `not complete: ${String(row.outcome)}` };
  const said = isChat ? chatOf(request, response) : conversationOf(request, response as Json);
  if ('reason' in said) return said;
  const feedback = (Array.isArray(row.feedback) ? row.feedback : []).filter(isObject);
  const corrected = answerIn(feedback.findLast((one) => one.corrected != null)?.corrected);
  const score = feedback.findLast((one) => typeof one.score === 'number')?.score;
  return {
    rows: [
      present({
        id: row.id,
        model: row.model ?? request.model,
        tools: said.tools,
        usage: said.usage,
        finish_reason: corrected ? 'stop' : said.finish_reason,
        ...tagsOf(row.tags, present({ score, corrected: corrected ? 'yes' : undefined })),
        messages: [...said.asked, corrected?.message ?? said.answer],
      }),
    ],
  };
}

function chatOf(request: Json, response: unknown): Conversation | { reason: string } {
  const asked = messagesIn(request.messages);
  const answered = answerIn(response);
  if (!asked || !answered) return { reason: 'not a chat completion' };
  const { message: answer, finish_reason } = answered;
  return { asked, answer, finish_reason, tools: request.tools, usage: isObject(response) ? response.usage : undefined };
}
