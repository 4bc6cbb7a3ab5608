// POST /v1/chat/completions.
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { z } from 'zod';
import { ChatMessage } from '../../chat/messages.ts';
import type { GenerateRequest, GenerateResult, TokenReport } from '../engine/protocol.ts';
import { type Call, type Service, VERSION_TAG } from '../service.ts';
import { readBody } from './body.ts';
import { ApiError } from './errors.ts';
import { eventStream } from './event-stream.ts';
import { chatLogprobs } from './logprobs.ts';
import { SharedFields, samplingOf, stopsOf } from './sampling.ts';
import { usageOf } from './usage.ts';

const ChatBody = z.looseObject({
  ...SharedFields,
  messages: z.array(ChatMessage).min(1),
  max_completion_tokens: z.number().int().positive().nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.number().int().min(0).max(20).nullish(),
});
type ChatBody = z.infer<typeof ChatBody>;

type Head = ReturnType<typeof headOf>;

export async function chatCompletions(c: Context, service: Service): Promise<Response> {
  const body = await readBody(c, ChatBody, service.limits.bodyBytes);
  check(body);
  const model = service.models.find(body.model);
  const requests = requestsOf(body, model.piecesOf(body.messages));
  const call = await service.begin(c, model, requests.length);
  const head = headOf(model.name);
  if (body.stream) return stream(call, requests, head, body.stream_options?.include_usage ?? false);
  return call.finish(async () => {
    const results = await Promise.all(requests.map((request) => call.generate(request)));
    const choices = results.map((result, index) => ({ index, ...choiceOf(result) }));
    return c.json({ ...head, object: 'chat.completion', choices, usage: usageOf([results]) });
  });
}

function headOf(model: string) {
  const created = Math.floor(Date.now() / 1000);
  return { id: `chatcmpl-${randomUUID()}`, created, model, system_fingerprint: VERSION_TAG };
}

function choiceOf(result: GenerateResult) {
  return {
    message: { role: 'assistant', content: result.text, refusal: null },
    logprobs: result.logprobs ? chatLogprobs(result.logprobs) : null,
    finish_reason: result.finishReason,
  };
}

function stream(call: Call, requests: GenerateRequest[], head: Head, withUsage: boolean): Promise<Response> {
  const produce = (send: (chunk: object) => void) =>
    call.finish(async () => {
      const chunk = (rest: object) =>
        send({ ...head, object: 'chat.completion.chunk', ...rest, ...(withUsage && { usage: null }) });
      const results = await Promise.all(requests.map((request, index) => streamChoice(call, request, index, chunk)));
      if (withUsage) send({ ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf([results]) });
    });
  return eventStream(produce, call.abort);
}

async function streamChoice(call: Call, request: GenerateRequest, index: number, chunk: (rest: object) => void) {
  let begun = false;
  const send = (delta: object, logprobs?: TokenReport[], finish_reason: string | null = null) =>
    chunk({
      choices: [{ index, delta, logprobs: logprobs ? chatLogprobs(logprobs) : null, finish_reason }],
    });
  const begin = () => {
    if (!begun) send({ role: 'assistant', content: '', refusal: null });
    begun = true;
  };
  const result = await call.generate(request, ({ text, logprobs }) => {
    begin();
    send({ content: text }, logprobs);
  });
  begin();
  send({}, undefined, result.finishReason);
  return result;
}

function requestsOf(body: ChatBody, pieces: GenerateRequest['pieces']): GenerateRequest[] {
  return Array.from({ length: body.n ?? 1 }, (_, choice) => ({
    pieces,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? Number.MAX_SAFE_INTEGER,
    sampling: samplingOf(body, choice),
    stop: stopsOf(body),
    ignoreEnd: body.ignore_eos ?? false,
    logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
  }));
}

function check(body: ChatBody): void {
  if (body.top_logprobs != null && !body.logprobs) {
    throw new ApiError(400, "'top_logprobs' needs 'logprobs' to be true", { param: 'top_logprobs' });
  }
  body.messages.forEach(({ content }, at) => {
    const parts = Array.isArray(content) ? content : [];
    const other = parts.findIndex((part) => part.type !== 'text' && part.type !== 'refusal');
    if (other < 0) return;
    throw new ApiError(400, `this model reads text, not content of type '${parts[other].type}'`, {
      param: `messages[${at}].content[${other}].type`,
      code: 'unsupported_content',
    });
  });
}
