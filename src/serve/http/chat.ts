// POST /v1/chat/completions.
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { z } from 'zod';
import { ChatMessage } from '../../chat/messages.ts';
import type { GenerateRequest, GenerateResult, TokenReport } from '../engine/protocol.ts';
import type { ServedModel } from '../served-model.ts';
import { type Call, type Service, VERSION_TAG } from '../service.ts';
import { readBody } from './body.ts';
import { CallDeltas } from './call-deltas.ts';
import { cascaded, type Rendering } from './cascaded.ts';
import { ApiError } from './errors.ts';
import { eventStream } from './event-stream.ts';
import { chatLogprobs } from './logprobs.ts';
import { labelsOf, SharedFields, samplingOf, stopsOf } from './sampling.ts';
import { callGrammar, demandedTools, parseCalls, TextBeforeCalls, Tool, ToolChoice } from './tools.ts';
import { usageOf } from './usage.ts';

const ChatBody = z.looseObject({
  ...SharedFields,
  messages: z.array(ChatMessage).min(1),
  max_completion_tokens: z.number().int().positive().nullish(),
  logprobs: z.boolean().nullish(),
  top_logprobs: z.number().int().min(0).max(20).nullish(),
  tools: z.array(Tool).max(128).nullish(),
  tool_choice: ToolChoice.nullish(),
  parallel_tool_calls: z.boolean().nullish(),
});
type ChatBody = z.infer<typeof ChatBody>;

type Head = ReturnType<typeof headOf>;

export async function chatCompletions(c: Context, service: Service): Promise<Response> {
  const body = await readBody(c, ChatBody, service.limits.bodyBytes);
  check(body);
  const target = service.models.find(body.model);
  const tools = body.tool_choice === 'none' ? [] : (body.tools ?? []);
  const requests = requestsOf(body, tools, target.model);
  const head = headOf(target.name);
  const cascade = service.cascadeOf(target);
  if (cascade) {
    if (requests.length > 1)
      throw new ApiError(400, 'with a teacher behind it a model gives one answer', { param: 'n' });
    const asked = { target, body, request: requests[0] };
    return cascaded(c, service, cascade, asked, renderingOf(c, body, requests[0], tools, head));
  }
  const call = await service.begin(c, target);
  if (body.stream) return stream(call, requests, tools, head, body.stream_options?.include_usage ?? false);
  return call.finish(async () => {
    const results = await Promise.all(requests.map((request) => call.generate(request)));
    const choices = results.map((result, index) => ({ index, ...choiceOf(result, tools) }));
    return c.json({ ...head, object: 'chat.completion', choices, usage: usageOf([results]) });
  });
}

function headOf(model: string) {
  const created = Math.floor(Date.now() / 1000);
  return { id: `chatcmpl-${randomUUID()}`, created, model, system_fingerprint: VERSION_TAG };
}

function choiceOf(result: GenerateResult, tools: readonly Tool[]) {
  const { content, calls } = answerOf(result, tools);
  return {
    message: { role: 'assistant', content, refusal: null, ...(calls.length > 0 && { tool_calls: calls }) },
    logprobs: result.logprobs ? chatLogprobs(result.logprobs) : null,
    finish_reason: calls.length > 0 ? 'tool_calls' : result.finishReason,
    ...(result.confidence !== undefined && { confidence: result.confidence }),
  };
}

/** Answers that are there already, as the caller wants them. */
function renderingOf(
  c: Context,
  body: ChatBody,
  request: GenerateRequest,
  tools: readonly Tool[],
  head: Head,
): Rendering {
  const wanted = (result: GenerateResult) =>
    request.logprobs === undefined ? { ...result, logprobs: undefined } : result;
  return {
    said: (result) => {
      const { content, calls } = answerOf(result, tools);
      return { text: content ?? '', calls: calls.map((call) => call.function) };
    },
    student: (result) => {
      const known = wanted(result);
      const choices = [{ index: 0, ...choiceOf(known, tools) }];
      if (!body.stream) return c.json({ ...head, object: 'chat.completion', choices, usage: usageOf([[result]]) });
      const done: Call = {
        generate: async (_, onDelta) => {
          onDelta?.(known);
          return known;
        },
        finish: (work) => work(),
        abort: () => {},
      };
      return stream(done, [request], tools, head, body.stream_options?.include_usage ?? false);
    },
    teacher: (answer) => c.json(answer),
    ...(body.stream && { relay: relayOf(body.stream_options?.include_usage ?? false) }),
  };
}

/** Passes on the chunks of a teacher, the one with the usage only to who asked for it. */
function relayOf(withUsage: boolean): NonNullable<Rendering['relay']> {
  const wanted = (chunk: { choices?: unknown[] }) => withUsage || (chunk.choices ?? []).length > 0;
  return (produce) => {
    const leaving = (send: (chunk: object) => void) =>
      produce((chunk) => {
        if (wanted(chunk)) send(chunk);
      });
    // the caller's leaving aborts the request to the teacher by the signal of the caller's own request
    return eventStream(leaving, () => {});
  };
}

const answerOf = ({ text }: GenerateResult, tools: readonly Tool[]) =>
  tools.length > 0 ? parseCalls(text, tools) : { content: text, calls: [] };

function stream(
  call: Call,
  requests: GenerateRequest[],
  tools: readonly Tool[],
  head: Head,
  withUsage: boolean,
): Promise<Response> {
  const produce = (send: (chunk: object) => void) =>
    call.finish(async () => {
      const chunk = (rest: object) =>
        send({ ...head, object: 'chat.completion.chunk', ...rest, ...(withUsage && { usage: null }) });
      const results = await Promise.all(
        requests.map((request, index) => streamChoice(call, request, tools, index, chunk)),
      );
      if (withUsage) send({ ...head, object: 'chat.completion.chunk', choices: [], usage: usageOf([results]) });
    });
  return eventStream(produce, call.abort);
}

async function streamChoice(
  call: Call,
  request: GenerateRequest,
  tools: readonly Tool[],
  index: number,
  chunk: (rest: object) => void,
): Promise<GenerateResult> {
  let begun = false;
  const send = (delta: object, logprobs?: TokenReport[], finish_reason: string | null = null) => {
    if (!begun) chunk({ choices: [{ index, delta: OPENING, logprobs: null, finish_reason: null }] });
    begun = true;
    chunk({ choices: [{ index, delta, logprobs: logprobs ? chatLogprobs(logprobs) : null, finish_reason }] });
  };
  const before = tools.length > 0 ? new TextBeforeCalls() : undefined;
  const deltas = new CallDeltas();
  const result = await call.generate(request, ({ text, logprobs }) => {
    const content = before ? before.push(text) : text;
    if (content !== '' || logprobs) send({ content }, logprobs);
    for (const delta of before ? deltas.push(text) : []) send({ tool_calls: [delta] });
  });
  const answer = answerOf(result, tools);
  const rest = deltas.begun > 0 ? '' : (before?.rest(answer) ?? '');
  if (rest !== '') send({ content: rest });
  const unsent = answer.calls.map((each, at) => ({ index: at, ...each })).slice(deltas.begun);
  if (unsent.length > 0) send({ tool_calls: unsent });
  send({}, undefined, answer.calls.length > 0 ? 'tool_calls' : result.finishReason);
  return result;
}

const OPENING = { role: 'assistant', content: '', refusal: null };

function requestsOf(body: ChatBody, tools: readonly Tool[], model: ServedModel): GenerateRequest[] {
  const pieces = model.piecesOf(body.messages, tools.length > 0 ? tools : undefined);
  const demanded = demandedTools(tools, body.tool_choice);
  const grammar = demanded && callGrammar(demanded, body.parallel_tool_calls ?? false);
  return Array.from({ length: body.n ?? 1 }, (_, choice) => ({
    pieces,
    maxTokens: body.max_completion_tokens ?? body.max_tokens ?? Number.MAX_SAFE_INTEGER,
    sampling: { ...samplingOf(body, choice), ...(grammar && { grammar }) },
    stop: stopsOf(body),
    ignoreEnd: body.ignore_eos ?? false,
    logprobs: body.logprobs ? (body.top_logprobs ?? 0) : undefined,
    labels: grammar ? undefined : labelsOf(body),
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
