// Tokens of the teacher's traffic: as metered in `usage`, or a cautious estimate where nobody metered it.
import { type ChatMessage, type Example, messageText, promptOf } from '../chat/messages.ts';
import { expectedAnswer } from './expected.ts';

/** Sums over requests of one teacher model. */
export interface TeacherTokens {
  model: string;
  requests: number;
  promptTokens: number;
  /** Part of `promptTokens` that was read from the provider's cache. */
  cachedTokens: number;
  /** Reasoning included, as it is billed. */
  completionTokens: number;
  reasoningTokens: number;
  /** Counted with the student's tokenizer, because the rows have no usage. */
  estimated: boolean;
}

export type CountTokens = (text: string) => number;

/** Tokens by teacher model. Rows without usage are estimated. */
export function teacherTokens(examples: readonly Example[], count: CountTokens): TeacherTokens[] {
  const sums = new Map<string, TeacherTokens>();
  for (const example of examples) {
    const estimated = example.usage === undefined;
    const model = example.model ?? 'unknown';
    const key = `${model} ${estimated}`;
    const sum = sums.get(key) ?? { model, requests: 0, ...NOTHING, estimated };
    const used = example.usage ? metered(example.usage) : estimate(example, count);
    sum.requests++;
    for (const name of Object.keys(NOTHING) as (keyof typeof NOTHING)[]) sum[name] += used[name];
    sums.set(key, sum);
  }
  return [...sums.values()].sort((a, b) => b.requests - a.requests);
}

const NOTHING = { promptTokens: 0, cachedTokens: 0, completionTokens: 0, reasoningTokens: 0 };

function metered(usage: NonNullable<Example['usage']>): typeof NOTHING {
  const { prompt_tokens: promptTokens, completion_tokens: said, total_tokens: total } = usage;
  const reasoningTokens = usage.completion_tokens_details?.reasoning_tokens ?? 0;
  // xAI and Gemini count reasoning beside the answer, OpenAI and DeepSeek within it; the total tells
  const beside = total !== undefined && total === promptTokens + said + reasoningTokens ? reasoningTokens : 0;
  // DeepSeek's own name for what OpenAI calls cached
  const hits = usage.prompt_tokens_details?.cached_tokens ?? usage.prompt_cache_hit_tokens;
  const cachedTokens = Math.min(promptTokens, typeof hits === 'number' ? hits : 0);
  return { promptTokens, cachedTokens, completionTokens: said + beside, reasoningTokens };
}

function estimate(example: Example, count: CountTokens): typeof NOTHING {
  // chat formats spend a few tokens on each turn (OpenAI: 3), and tools are part of the prompt
  const turns = promptOf(example).map((message: ChatMessage) => cautious(messageText(message), count) + 3);
  const tools = example.tools ? cautious(JSON.stringify(example.tools), count) : 0;
  return {
    ...NOTHING,
    promptTokens: turns.reduce((a, b) => a + b, tools),
    completionTokens: cautious(expectedAnswer(example), count),
  };
}

/**
 * The lesser of the student's count and a large vocabulary's usual one (4 characters a token; 0.7 tokens a Chinese, Japanese
 * or Korean character), so that a student with a poor vocabulary does not make its teacher look dear.
 */
function cautious(text: string, count: CountTokens): number {
  const wide = text.match(/[\p{Script=Han}\p{Script=Hiragana}\p{Script=Katakana}\p{Script=Hangul}]/gu)?.length ?? 0;
  return Math.min(count(text), Math.ceil((text.length - wide) / 4 + 0.7 * wide));
}
