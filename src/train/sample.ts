// What training sees of a conversation: token ids, and which of them are to be predicted.

/** Positions start to end - 1. */
export interface Span {
  readonly start: number;
  readonly end: number;
}

export interface Sample {
  readonly ids: Int32Array;
  /** The answers, in order, each with its end-of-turn token; at least one. No answer starts at position 0. */
  readonly answers: readonly Span[];
}

/** Answer tokens of a sample, end-of-turn tokens included. */
export function answerTokens(sample: Sample): number {
  return sample.answers.reduce((sum, { start, end }) => sum + end - start, 0);
}
