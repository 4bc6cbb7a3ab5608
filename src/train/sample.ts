// What training sees of a conversation: token ids, and from which of them on a loss is due.

export interface Sample {
  readonly ids: Int32Array;
  /** Position of the first answer token (at least 1): it and all that follow are to be predicted. */
  readonly lossFrom: number;
}

/** Answer tokens of a sample, the end-of-turn token included. */
export function answerTokens(sample: Sample): number {
  return sample.ids.length - sample.lossFrom;
}
