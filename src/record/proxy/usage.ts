// The token counts of an answer, in whichever dialect the upstream reports them.

export interface Tokens {
  prompt_tokens: number | null;
  /** Prompt tokens the upstream had cached; part of `prompt_tokens`. */
  cached_tokens: number | null;
  completion_tokens: number | null;
  /** Tokens of hidden reasoning; part of `completion_tokens`. */
  reasoning_tokens: number | null;
}

/** Reads OpenAI's chat and responses dialects and DeepSeek's `prompt_cache_hit_tokens`; what is absent is null. */
export function tokensOf(response: unknown): Tokens {
  const usage = member(response, 'usage');
  const inputs = member(usage, 'prompt_tokens_details') ?? member(usage, 'input_tokens_details');
  const outputs = member(usage, 'completion_tokens_details') ?? member(usage, 'output_tokens_details');
  return {
    prompt_tokens: count(usage, 'prompt_tokens') ?? count(usage, 'input_tokens'),
    cached_tokens: count(inputs, 'cached_tokens') ?? count(usage, 'prompt_cache_hit_tokens'),
    completion_tokens: count(usage, 'completion_tokens') ?? count(usage, 'output_tokens'),
    reasoning_tokens: count(outputs, 'reasoning_tokens'),
  };
}

function member(value: unknown, name: string): unknown {
  return value !== null && typeof value === 'object' ? (value as Record<string, unknown>)[name] : undefined;
}

function count(value: unknown, name: string): number | null {
  const found = member(value, name);
  return typeof found === 'number' && Number.isSafeInteger(found) && found >= 0 ? found : null;
}
