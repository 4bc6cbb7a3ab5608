// Token counts as the OpenAI API reports them.
import type { GenerateResult } from '../engine/protocol.ts';

/** @param results the choices of each prompt; a prompt counts once however many choices it has */
export function usageOf(results: readonly (readonly GenerateResult[])[]) {
  const sum = (of: (choices: readonly GenerateResult[]) => number) => results.reduce((all, each) => all + of(each), 0);
  const prompt_tokens = sum(([first]) => first.promptTokens);
  const completion_tokens = sum((choices) => choices.reduce((all, each) => all + each.completionTokens, 0));
  const [drafted, accepted] = (['drafted', 'accepted'] as const).map((field) =>
    sum((choices) => choices.reduce((all, each) => all + each[field], 0)),
  );
  return {
    prompt_tokens,
    completion_tokens,
    total_tokens: prompt_tokens + completion_tokens,
    prompt_tokens_details: { cached_tokens: sum(([first]) => first.cachedTokens) },
    completion_tokens_details: {
      reasoning_tokens: 0,
      accepted_prediction_tokens: accepted,
      rejected_prediction_tokens: drafted - accepted,
    },
  };
}
