// What answers a conversation: the server's engine, a remote teacher, a test double. `evaluate` and `serve` meet only here.
import type { ChatMessage } from './messages.ts';

export interface CompletionRequest {
  messages: ChatMessage[];
  tools?: unknown[];
  /** Upper bound on generated tokens. */
  maxTokens: number;
  /** 0 is greedy. */
  temperature?: number;
  seed?: number;
  /** Wants `Completion.logprobs`. */
  logprobs?: boolean;
  stop?: string[];
  /** Answers with one of these texts; a completer that cannot hold itself to them ignores them. */
  labels?: string[];
  signal?: AbortSignal;
}

export interface Completion {
  text: string;
  finishReason: 'stop' | 'length' | 'tool_calls';
  promptTokens: number;
  /** Prompt tokens that were already in the KV cache. */
  cachedTokens?: number;
  completionTokens: number;
  /** Natural logarithms of the tokens' probabilities, when asked for and known. */
  logprobs?: number[];
  /** Wall time of this request in seconds, queueing included. */
  seconds: number;
}

/** A raw prompt and the texts it may go on with. */
export interface LikelihoodRequest {
  context: string;
  continuations: string[];
}

/** Natural logarithm of a continuation's probability; `greedy`: each of its tokens was the likeliest. */
export interface ContinuationLikelihood {
  logprob: number;
  tokens: number;
  greedy: boolean;
}

export interface Completer {
  /** Model name as reported to callers. */
  readonly name: string;
  /** Requests worth having in flight at once. */
  readonly concurrency: number;
  /** @throws CupelError for a conversation that does not fit the context */
  complete(request: CompletionRequest): Promise<Completion>;
  /**
   * Likelihoods of continuations of a raw prompt (no chat template), where the completer can tell. Context and continuation
   * are tokenized together, as lm-evaluation-harness does. One request at a time.
   */
  loglikelihood?(request: LikelihoodRequest): Promise<ContinuationLikelihood[]>;
  close(): Promise<void>;
}
