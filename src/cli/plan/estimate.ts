// An estimate as a list of terms, each with the reason for its size, so that a reader can check it.

export interface Term {
  name: string;
  /** Bytes or seconds. */
  value: number;
  how: string;
}

export interface Estimate {
  memory: readonly Term[];
  memoryBytes: number;
  time: readonly Term[];
  /** Of one step; less than the sum where terms hide behind each other. */
  stepSeconds: number;
}

/** Sums; a caller whose terms overlap replaces `stepSeconds`. */
export function estimate(memory: readonly Term[], time: readonly Term[]): Estimate {
  const sum = (terms: readonly Term[]) => terms.reduce((total, { value }) => total + value, 0);
  return { memory, memoryBytes: sum(memory), time, stepSeconds: sum(time) };
}
