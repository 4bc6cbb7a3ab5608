// What the main thread and the engine's thread say to each other.
import type { SamplingOptions } from '../llama/sampler.ts';
import type { Likelihood } from './likelihood.ts';
import type { TokenLogprob } from './logprobs.ts';

/** A stretch of text without control tokens, or one control token by id (as src/chat/template.ts cuts a conversation). */
export type PromptPiece = { text: string; id?: number };

export interface EngineSettings {
  model: string;
  /** Threads for evaluation. */
  threads: number;
  /** Tokens of context a request may use; undefined: what the model was trained on, at most 4096. */
  contextTokens: number | undefined;
  /** Requests evaluated together; undefined: up to 16, as memory allows. */
  parallel: number | undefined;
  /** False: the CPU even where a GPU build of llama.cpp is installed. */
  gpu: boolean;
}

export interface EngineInfo {
  contextTokens: number;
  parallel: number;
  trainedContext: number;
  vocabSize: number;
  parameters: number;
  /** Bytes of all tensors. */
  bytes: number;
  description: string;
  /** npm package of the llama.cpp libraries in use. */
  library: string;
}

export interface GenerateRequest {
  /** Exactly one of `tokens`, `pieces` and `text` is given. */
  tokens?: number[];
  pieces?: PromptPiece[];
  /** Raw prompt: the begin-of-sequence token is added and control tokens are recognised. */
  text?: string;
  maxTokens: number;
  sampling: SamplingOptions;
  stop?: string[];
  /** Goes on after tokens that end an answer. */
  ignoreEnd?: boolean;
  /** Log probabilities of the taken token and so many of the likeliest. */
  logprobs?: number;
  /** Sends text as it is made. */
  stream?: boolean;
  /** Answers with one of these texts. */
  labels?: string[];
  /** LoRA adapter by the name it was loaded under. */
  adapter?: string;
}

/** One generated token with its probabilities, when asked for. */
export interface TokenReport {
  token: number;
  /** Bytes of the token; may be part of a character. */
  bytes: number[];
  logprob: number;
  top: (TokenLogprob & { bytes: number[] })[];
}

export interface GenerateResult {
  text: string;
  finishReason: 'stop' | 'length';
  promptTokens: number;
  /** Prompt tokens whose keys and values were in the cache. */
  cachedTokens: number;
  completionTokens: number;
  tokens: number[];
  logprobs?: TokenReport[];
  /** Tokens guessed ahead, and how many of them the model confirmed. */
  drafted: number;
  accepted: number;
  /** Of a label set: the probability of the label among the others. */
  confidence?: number;
}

export interface TextDelta {
  text: string;
  logprobs?: TokenReport[];
}

/** Why a request was refused or failed. */
export interface EngineFault {
  code: 'context_length_exceeded' | 'invalid_grammar' | 'unknown_adapter' | 'bad_adapter' | 'engine_error';
  message: string;
}

export type ToEngine =
  | { type: 'generate'; id: number; request: GenerateRequest }
  | { type: 'cancel'; id: number }
  | { type: 'call'; id: number; call: EngineCall }
  | { type: 'close' };

/** Short work that does not go through the batches. */
export type EngineCall =
  | { kind: 'tokenize'; text: string; addSpecial: boolean; parseSpecial: boolean }
  | { kind: 'encode'; pieces: PromptPiece[] }
  | { kind: 'detokenize'; tokens: number[] }
  | { kind: 'embed'; inputs: number[][] }
  | { kind: 'loadAdapter'; name: string; path: string }
  | { kind: 'unloadAdapter'; name: string }
  | { kind: 'logits'; tokens: number[] }
  | { kind: 'likelihoods'; prompt: number[]; continuations: number[][] };

export interface EngineCallResult {
  tokenize: number[];
  encode: number[];
  detokenize: string;
  /** Mean of the hidden states of each input, of length 1. */
  embed: Float32Array[];
  loadAdapter: undefined;
  unloadAdapter: undefined;
  /** One row of logits for each token, [tokens, vocabulary]. */
  logits: Float32Array;
  /** One for each continuation of the prompt. */
  likelihoods: Likelihood[];
}

export type EngineEvent =
  | { type: 'delta'; id: number; delta: TextDelta }
  | { type: 'done'; id: number; result: GenerateResult }
  | { type: 'fault'; id: number; fault: EngineFault }
  | { type: 'returned'; id: number; value: unknown };

export type FromEngine =
  | { type: 'ready'; info: EngineInfo }
  | { type: 'failed'; message: string; file?: string; remedy?: string }
  | { type: 'events'; events: EngineEvent[] };
