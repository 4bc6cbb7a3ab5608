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
  stop?: string[];
  signal?: AbortSignal;
}

export interface Completion {
  text: string;
  finishReason: 'stop' | 'length' | 'tool_calls';
  promptTokens: number;
  /** Prompt tokens that were already in the KV cache. */
  cachedTokens?: number;
  completionTokens: number;
  /** Wall time of this request in seconds, queueing included. */
  seconds: number;
}

export interface Completer {
  /** Model name as reported to callers. */
  readonly name: string;
  /** Requests worth having in flight at once. */
  readonly concurrency: number;
  /** @throws CupelError for a conversation that does not fit the context */
  complete(request: CompletionRequest): Promise<Completion>;
  close(): Promise<void>;
}
