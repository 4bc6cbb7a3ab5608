// Decides which sequence of the KV cache answers a prompt, so that as little as possible is evaluated again.

/** What the choice needs to know of a sequence. */
export interface SequenceState {
  readonly sequence: number;
  /** Tokens whose keys and values are in the cache. */
  readonly cached: readonly number[];
  /** LoRA adapter that the cache was made with. */
  readonly adapter: string | undefined;
  readonly busy: boolean;
  /** The whole prompt while it is still being evaluated. */
  readonly prompt: readonly number[] | undefined;
  /** Rises with every use. */
  readonly lastUsed: number;
}

export interface SequenceChoice {
  sequence: number;
  /** Leading prompt tokens that need no evaluation. */
  reuse: number;
  /** Sequence to copy the cache from first. */
  copyFrom?: number;
}

/** Copying a sequence costs about as much as evaluating so many tokens. */
const COPY_WORTH = 48;
/** Waiting for another prompt costs a step or two, so it must save more than that. */
const WAIT_WORTH = 32;

/** Length of the longest common prefix. */
export function commonPrefix(a: readonly number[], b: readonly number[]): number {
  const end = Math.min(a.length, b.length);
  let at = 0;
  while (at < end && a[at] === b[at]) at++;
  return at;
}

/**
 * @returns the sequence to use; `wait` when a prompt under evaluation will soon hold a much longer common prefix; `full` when all
 *   sequences are busy
 */
export function chooseSequence(
  prompt: readonly number[],
  adapter: string | undefined,
  sequences: readonly SequenceState[],
): SequenceChoice | 'wait' | 'full' {
  const free = sequences.filter((each) => !each.busy);
  if (free.length === 0) return 'full';
  // the last prompt token is always evaluated: its logits are wanted
  const most = prompt.length - 1;
  const reuse = (each: SequenceState) =>
    each.adapter === adapter ? Math.min(most, commonPrefix(prompt, each.cached)) : 0;
  // low numbers first: llama.cpp evaluates neighbouring sequences together; but what is of little use here is left to others
  const age = (each: SequenceState) => (reuse(each) < WAIT_WORTH ? -each.lastUsed : 0);
  const best = pickBest(free, (each) => [reuse(each), age(each), -each.sequence]);
  const source = pickBest(sequences, (each) => [reuse(each), each.sequence === best.sequence ? 1 : 0]);
  const coming = sequences
    .filter((each) => each.prompt && each.adapter === adapter)
    .map((each) => Math.min(most, commonPrefix(prompt, each.prompt!)));
  if (Math.max(0, ...coming) >= reuse(source) + WAIT_WORTH) return 'wait';
  if (reuse(source) < reuse(best) + COPY_WORTH) return { sequence: best.sequence, reuse: reuse(best) };
  const target = pickBest(free, (each) => [-each.lastUsed, -each.sequence]);
  return { sequence: target.sequence, reuse: reuse(source), copyFrom: source.sequence };
}

/** The item with the largest key, keys compared element by element. */
function pickBest<T>(items: readonly T[], key: (item: T) => number[]): T {
  return items.reduce((best, item) => (compare(key(item), key(best)) > 0 ? item : best));
}

function compare(a: readonly number[], b: readonly number[]): number {
  const at = a.findIndex((value, i) => value !== b[i]);
  return at < 0 ? 0 : a[at] - b[at];
}
