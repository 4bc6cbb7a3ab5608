// POST /v1/completions: raw prompts, as text or token ids.
import { randomUUID } from 'node:crypto';
import type { Context } from 'hono';
import { z } from 'zod';
import type { GenerateRequest, GenerateResult, TokenReport } from '../engine/protocol.ts';
import type { Target } from '../models.ts';
import { type Call, type Service, VERSION_TAG } from '../service.ts';
import { readBody } from './body.ts';
import { headed } from './cascaded.ts';
import { ApiError } from './errors.ts';
import { eventStream } from './event-stream.ts';
import { completionLogprobs } from './logprobs.ts';
import { labelsOf, SharedFields, samplingOf, stopsOf } from './sampling.ts';
import { usageOf } from './usage.ts';

const MOST_PROMPTS = 64;
/** What the OpenAI API takes without `max_tokens`. */
const USUAL_TOKENS = 16;

const token = z.number().int().nonnegative();
const CompletionBody = z.looseObject({
  ...SharedFields,
  prompt: z.union([
    z.string(),
    z.array(z.string()).min(1).max(MOST_PROMPTS),
    z.array(token).min(1),
    z.array(z.array(token).min(1)).min(1).max(MOST_PROMPTS),
  ]),
  logprobs: z.number().int().min(0).max(20).nullish(),
  echo: z.literal(false, 'echo is not supported').nullish(),
  suffix: z.literal('', 'suffix is not supported').nullish(),
  best_of: z.number().int().min(1).nullish(),
});
type CompletionBody = z.infer<typeof CompletionBody>;

type Head = ReturnType<typeof headOf>;

export async function completions(c: Context, service: Service): Promise<Response> {
  const { response, target } = await answered(c, service);
  const cascade = service.cascadeOf(target);
  return cascade ? headed(cascade, response, 'student', 'raw-prompt') : response;
}

async function answered(c: Context, service: Service): Promise<{ response: Response; target: Target }> {
  const body = await readBody(c, CompletionBody, service.limits.bodyBytes);
  if (body.best_of != null && body.best_of !== (body.n ?? 1)) {
    throw new ApiError(400, "'best_of' other than 'n' is not supported", { param: 'best_of' });
  }
  const target = service.models.find(body.model);
  const requests = promptsOf(body.prompt).map((prompt) => choicesOf(body, prompt, target.model.engine.info.vocabSize));
  const call = await service.begin(c, target);
  const head = headOf(target.name);
  if (body.stream) {
    return { target, response: await stream(call, requests, head, body.stream_options?.include_usage ?? false) };
  }
  const response = await call.finish(async () => {
    const results = await Promise.all(
      requests.map((choices) => Promise.all(choices.map((request) => call.generate(request)))),
    );
    const choices = results.flat().map((result, index) => ({ index, ...choiceOf(result) }));
    return c.json({ ...head, choices, usage: usageOf(results) });
  });
  return { target, response };
}

function headOf(model: string) {
  const created = Math.floor(Date.now() / 1000);
  return { id: `cmpl-${randomUUID()}`, object: 'text_completion', created, model, system_fingerprint: VERSION_TAG };
}

function choiceOf({ text, logprobs, finishReason, confidence }: GenerateResult) {
  const known = { text, logprobs: logprobs ? completionLogprobs(logprobs, 0) : null, finish_reason: finishReason };
  return confidence === undefined ? known : { ...known, confidence };
}

function stream(call: Call, requests: GenerateRequest[][], head: Head, withUsage: boolean): Promise<Response> {
  const produce = (send: (chunk: object) => void) =>
    call.finish(async () => {
      let index = 0;
      const chunk = (rest: object) => send({ ...head, ...rest, ...(withUsage && { usage: null }) });
      const results = await Promise.all(
        requests.map((choices) => Promise.all(choices.map((request) => streamChoice(call, request, index++, chunk)))),
      );
      if (withUsage) send({ ...head, choices: [], usage: usageOf(results) });
    });
  return eventStream(produce, call.abort);
}

async function streamChoice(call: Call, request: GenerateRequest, index: number, chunk: (rest: object) => void) {
  let length = 0;
  const send = (text: string, logprobs?: TokenReport[], finish_reason: string | null = null) => {
    chunk({
      choices: [{ index, text, logprobs: logprobs ? completionLogprobs(logprobs, length) : null, finish_reason }],
    });
    length += text.length;
  };
  const result = await call.generate(request, ({ text, logprobs }) => send(text, logprobs));
  send('', undefined, result.finishReason);
  return result;
}

type Prompt = string | number[];

function promptsOf(prompt: CompletionBody['prompt']): Prompt[] {
  if (typeof prompt === 'string') return [prompt];
  return typeof prompt[0] === 'number' ? [prompt as number[]] : (prompt as Prompt[]);
}

function choicesOf(body: CompletionBody, prompt: Prompt, vocabSize: number): GenerateRequest[] {
  if (typeof prompt !== 'string' && prompt.some((id) => id >= vocabSize)) {
    throw new ApiError(400, `a token id is outside the vocabulary of ${vocabSize}`, { param: 'prompt' });
  }
  return Array.from({ length: body.n ?? 1 }, (_, choice) => ({
    ...(typeof prompt === 'string' ? { text: prompt } : { tokens: prompt }),
    maxTokens: body.max_tokens ?? USUAL_TOKENS,
    sampling: samplingOf(body, choice),
    stop: stopsOf(body),
    ignoreEnd: body.ignore_eos ?? false,
    logprobs: body.logprobs ?? undefined,
    labels: labelsOf(body),
  }));
}
