// Any OpenAI-compatible endpoint as a Completer: a judge, or a teacher that is asked afresh.
import { CupelError } from '../base/errors.ts';
import type { Completer } from '../chat/completer.ts';

export interface RemoteOptions {
  /** E.g. `https://api.openai.com/v1`. */
  baseUrl: string;
  model: string;
  apiKey?: string;
  concurrency?: number;
}

const TIMEOUT_MS = 120_000;
const ATTEMPTS = 3;
/** Times the limit of an answer: with models that reason, what they think counts in it. */
const REASONING = 8;

/** @throws (from `complete`) CupelError when the endpoint errs or stays silent for two minutes, after three attempts where that may help */
export function remoteCompleter({ baseUrl, model, apiKey, concurrency = 4 }: RemoteOptions): Completer {
  const url = `${baseUrl.replace(/\/+$/, '')}/chat/completions`;
  // newer models refuse what every other endpoint knows, and say what they want in its place
  const dialect = { limit: 'max_tokens', temperature: true };
  return {
    name: model,
    concurrency,
    complete: async ({ messages, tools, maxTokens, temperature = 0, seed, stop, signal }) => {
      const started = performance.now();
      const headers = { 'content-type': 'application/json', ...(apiKey ? { authorization: `Bearer ${apiKey}` } : {}) };
      const send = async (): Promise<ChatAnswer> => {
        const used = { ...dialect };
        const limit = { [used.limit]: used.limit === 'max_tokens' ? maxTokens : maxTokens && REASONING * maxTokens };
        const body = { model, messages, tools, ...limit, ...(used.temperature && { temperature }), seed, stop };
        try {
          return await post(url, { method: 'POST', headers, body: JSON.stringify(body), signal });
        } catch (error) {
          const said = error instanceof CupelError ? error.message : '';
          if (used.limit === 'max_tokens' && said.includes('max_completion_tokens'))
            dialect.limit = 'max_completion_tokens';
          else if (used.temperature && /answered 400: .*temperature/s.test(said)) dialect.temperature = false;
          else throw error;
          return send();
        }
      };
      const answer = await send();
      const [choice] = answer.choices ?? [];
      if (!choice) throw new CupelError('the endpoint answered without a choice', { place: { file: url } });
      return {
        text: choice.message?.content ?? '',
        finishReason: choice.finish_reason === 'length' ? 'length' : 'stop',
        promptTokens: answer.usage?.prompt_tokens ?? 0,
        cachedTokens: answer.usage?.prompt_tokens_details?.cached_tokens ?? 0,
        completionTokens: answer.usage?.completion_tokens ?? 0,
        seconds: (performance.now() - started) / 1000,
      };
    },
    close: async () => {},
  };
}

interface ChatAnswer {
  choices?: { message?: { content?: string | null }; finish_reason?: string }[];
  usage?: {
    prompt_tokens?: number;
    completion_tokens?: number;
    prompt_tokens_details?: { cached_tokens?: number };
  };
}

async function post(url: string, init: RequestInit): Promise<ChatAnswer> {
  for (let attempt = 1; ; attempt++) {
    const failure = await once(url, init);
    if ('answer' in failure) return failure.answer;
    if (attempt === ATTEMPTS || !failure.again) {
      throw new CupelError(failure.message, {
        place: { file: url },
        remedy: 'check the address, the model name and the key',
      });
    }
    await new Promise((done) => setTimeout(done, 250 * 2 ** attempt));
  }
}

async function once(
  url: string,
  init: RequestInit,
): Promise<{ answer: ChatAnswer } | { message: string; again: boolean }> {
  const limit = AbortSignal.timeout(TIMEOUT_MS);
  try {
    const response = await fetch(url, { ...init, signal: init.signal ? AbortSignal.any([init.signal, limit]) : limit });
    if (response.ok) return { answer: (await response.json()) as ChatAnswer };
    const text = (await response.text()).slice(0, 300);
    const again = response.status >= 500 || response.status === 429;
    return { message: `the endpoint answered ${response.status}: ${text}`, again };
  } catch (error) {
    // the caller's own abort is not an answer
    init.signal?.throwIfAborted();
    const cause = (error as { cause?: Error }).cause ?? (error as Error);
    return { message: `the endpoint does not answer: ${cause.message}`, again: true };
  }
}
