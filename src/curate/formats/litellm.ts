// LiteLLM's logs: the standard logging payload and rows of its table of spend, with the answer beside the messages.
import type { Converted, Json } from './convert.ts';
import { answerIn, isObject, messagesIn, present, tagsOf, unpacked } from './values.ts';

export function litellm(row: Json): Converted {
  if (!('response' in row) || !('messages' in row || 'proxy_server_request' in row)) return undefined;
  const failed = row.status === 'failure' || (typeof row.error_str === 'string' && row.error_str !== '');
  if (failed) return { reason: 'failed: the log says that the call did not succeed' };
  const sent = unpacked(row.proxy_server_request);
  const body = isObject(sent) ? (isObject(sent.body) ? sent.body : sent) : {};
  // the table of spend stores "{}" for what it was told not to keep
  const asked = messagesIn(row.messages) ?? messagesIn(body.messages);
  const response = unpacked(row.response);
  const answered = answerIn(response);
  if (!asked || !answered) return { reason: 'not a conversation: messages or response were not kept in the log' };
  const metadata = unpacked(row.metadata);
  return {
    rows: [
      present({
        id: row.id ?? row.request_id ?? row.litellm_call_id,
        model: row.model,
        tools: body.tools ?? (isObject(row.model_parameters) ? row.model_parameters.tools : undefined),
        usage: usageOf(row, response),
        finish_reason: answered.finish_reason,
        ...tagsOf(labels(row.request_tags), isObject(metadata) ? metadata.requester_metadata : undefined),
        messages: [...asked, answered.message],
      }),
    ],
  };
}

function usageOf(row: Json, response: unknown): unknown {
  if (isObject(response) && isObject(response.usage)) return response.usage;
  const { prompt_tokens, completion_tokens } = row;
  const known = typeof prompt_tokens === 'number' && typeof completion_tokens === 'number';
  return known ? { prompt_tokens, completion_tokens } : undefined;
}

/** Tags are names, or `name:value`. */
function labels(tags: unknown): Json {
  const list = unpacked(tags);
  const names = Array.isArray(list) ? list.filter((tag): tag is string => typeof tag === 'string') : [];
  return Object.fromEntries(
    names.map((tag) => {
      const at = tag.indexOf(':');
      return at > 0 ? [tag.slice(0, at).trim(), tag.slice(at + 1).trim()] : [tag, 'yes'];
    }),
  );
}
