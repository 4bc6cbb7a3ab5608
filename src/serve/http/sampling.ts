// The fields that chat completions and completions share, and what they mean to the engine.
import { z } from 'zod';
import type { GenerateRequest } from '../engine/protocol.ts';
import { REMARKS } from '../grammar/schema.ts';
import { grammarOf, ResponseFormat } from './response-format.ts';

const count = z.number().int().positive();
const penalty = z.number().min(-2).max(2).nullish();

const MOST_LABELS = 4096;
/** In characters. */
const LONGEST_LABEL = 4096;

export const SharedFields = {
  model: z.string().optional(),
  max_tokens: count.nullish(),
  temperature: z.number().min(0).max(2).nullish(),
  top_p: z.number().min(0).max(1).nullish(),
  /** Not of OpenAI; as in llama.cpp and vLLM. */
  top_k: z.number().int().min(-1).nullish(),
  min_p: z.number().min(0).max(1).nullish(),
  seed: z.number().int().nullish(),
  frequency_penalty: penalty,
  presence_penalty: penalty,
  /** Not of OpenAI: llama.cpp's name and vLLM's. */
  repeat_penalty: z.number().min(0.1).max(10).nullish(),
  repetition_penalty: z.number().min(0.1).max(10).nullish(),
  logit_bias: z.record(z.string().regex(/^\d+$/), z.number().min(-100).max(100)).nullish(),
  stop: z.union([z.string(), z.array(z.string()).max(16)]).nullish(),
  n: z.number().int().min(1).max(16).nullish(),
  stream: z.boolean().nullish(),
  stream_options: z.looseObject({ include_usage: z.boolean().optional() }).nullish(),
  /** Not of OpenAI: goes on after tokens that end an answer, up to `max_tokens`. */
  ignore_eos: z.boolean().nullish(),
  response_format: ResponseFormat.nullish(),
  /** Not of OpenAI, as in vLLM: the answer is one of these. */
  guided_choice: z.array(z.string().min(1).max(LONGEST_LABEL)).min(2).max(MOST_LABELS).nullish(),
  user: z.string().nullish(),
};

const Shared = z.looseObject(SharedFields);
export type Shared = z.infer<typeof Shared>;

/** @param choice index among `n`: each draws from a seed of its own */
export function samplingOf(body: Shared, choice: number): GenerateRequest['sampling'] {
  return {
    temperature: body.temperature ?? 1,
    topP: body.top_p ?? undefined,
    topK: body.top_k && body.top_k > 0 ? body.top_k : undefined,
    minP: body.min_p ?? undefined,
    // llama.cpp reads 2^32 - 1 as "random"
    seed: body.seed == null ? undefined : (((body.seed + choice) % 0xffffffff) + 0xffffffff) % 0xffffffff,
    frequencyPenalty: body.frequency_penalty ?? undefined,
    presencePenalty: body.presence_penalty ?? undefined,
    repeatPenalty: body.repeat_penalty ?? body.repetition_penalty ?? undefined,
    logitBias: body.logit_bias ?? undefined,
    grammar: labelsOf(body) ? undefined : grammarOf(body.response_format),
  };
}

/** A closed set of answers: given, or a schema that only lists texts; the engine then only decides where they part. */
export function labelsOf(body: Shared): string[] | undefined {
  if (body.guided_choice) return [...new Set(body.guided_choice)];
  const format = body.response_format;
  const schema = format?.type === 'json_schema' ? format.json_schema.schema : undefined;
  if (typeof schema !== 'object') return undefined;
  const { type = 'string', enum: listed, ...rest } = schema;
  const only = type === 'string' && Object.keys(rest).every((keyword) => REMARKS.has(keyword));
  if (!only || !Array.isArray(listed) || listed.length > MOST_LABELS) return undefined;
  if (!listed.every((each) => typeof each === 'string' && each.length <= LONGEST_LABEL)) return undefined;
  const labels = [...new Set(listed.map((each) => JSON.stringify(each)))];
  return labels.length < 2 ? undefined : labels;
}

export function stopsOf(body: Shared): string[] | undefined {
  if (body.stop == null) return undefined;
  return typeof body.stop === 'string' ? [body.stop] : body.stop;
}
