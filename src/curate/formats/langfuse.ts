// Langfuse exports: observations of type GENERATION, alone or inside their traces.
import type { Converted, Json } from './convert.ts';
import { answerIn, isObject, messagesIn, present, tagsOf, unpacked } from './values.ts';

export function langfuse(row: Json): Converted {
  const observations = unpacked(row.observations);
  const inside = Array.isArray(observations) ? (observations as unknown[]).filter(isObject) : [];
  if (inside.length > 0) return trace(row, inside);
  const isObservation = 'traceId' in row || 'trace_id' in row || 'observationId' in row;
  const isTrace = 'input' in row && 'output' in row && ('sessionId' in row || 'session_id' in row || 'scores' in row);
  if (!(isObservation || isTrace) || !('input' in row)) return undefined;
  if (typeof row.type === 'string' && row.type !== 'GENERATION') return { reason: `not a generation: ${row.type}` };
  const converted = generation(row, row);
  return converted ? { rows: [converted] } : { reason: 'not a conversation: no messages in its input and output' };
}

function trace(row: Json, observations: Json[]): Converted {
  const generations = observations.filter(({ type }) => type === undefined || type === 'GENERATION');
  const rows = generations.map((one) => generation(one, row)).filter((one) => one !== undefined);
  return rows.length > 0 ? { rows } : { reason: 'not a conversation: the trace has no generation with messages' };
}

function generation(row: Json, trace: Json): Json | undefined {
  const input = unpacked(row.input);
  const asked = messagesIn(input);
  const answered = answerIn(row.output);
  if (!asked || !answered) return undefined;
  const tools = isObject(input) && Array.isArray(input.tools) ? input.tools : undefined;
  const names = unpacked(trace.tags);
  const marked = Array.isArray(names) ? Object.fromEntries(names.map((name) => [String(name), 'yes'])) : {};
  return present({
    id: row.id,
    model: row.model ?? row.providedModelName ?? row.provided_model_name ?? row.modelId,
    tools,
    usage: usageOf(unpacked(row.usageDetails ?? row.usage_details ?? row.usage)),
    finish_reason: answered.finish_reason,
    ...tagsOf(marked, unpacked(trace.metadata)),
    messages: [...asked, answered.message],
  });
}

/** `{input, output}`, `{promptTokens, completionTokens}` or OpenAI's own names. */
function usageOf(usage: unknown): Json | undefined {
  if (!isObject(usage)) return undefined;
  const prompt = usage.prompt_tokens ?? usage.promptTokens ?? usage.input;
  const completion = usage.completion_tokens ?? usage.completionTokens ?? usage.output;
  if (typeof prompt !== 'number' || typeof completion !== 'number') return undefined;
  const cached = usage.input_cached_tokens ?? usage.cache_read_input_tokens;
  return {
    prompt_tokens: prompt,
    completion_tokens: completion,
    ...(typeof cached === 'number' ? { prompt_tokens_details: { cached_tokens: cached } } : {}),
  };
}
