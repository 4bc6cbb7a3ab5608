// Finds the token prefixes that conversations share (the system prompt of a narrow job), so that each is computed once a batch.
import type { Sample } from './sample.ts';

/** Samples that begin with the same `prefix` tokens; `members` are indices into the list of samples. */
export interface PrefixGroup {
  readonly prefix: Int32Array;
  readonly members: readonly number[];
}

/** All samples in one group, with what they all share. */
export function oneGroupOf(samples: readonly Sample[]): PrefixGroup[] {
  const members = samples.map((_, index) => index);
  const sorted = members.toSorted((a, b) => compareIds(samples[a].ids, samples[b].ids));
  return [{ prefix: samples[sorted[0]].ids.slice(0, sharedLength(samples, sorted)), members }];
}

interface Grouping {
  readonly groups: PrefixGroup[];
  /** Tokens one epoch computes. */
  readonly cost: number;
}

/** Prefixes that branch more often than this are not followed further. */
const MAX_DEPTH = 12;

/**
 * Groups samples so that the tokens computed in an epoch are few: each batch of about `batchTokens` tokens computes the
 * prefix of its group once. Every sample is in exactly one group; a prefix ends before the token that predicts an answer.
 */
export function groupByPrefix(samples: readonly Sample[], batchTokens: number): PrefixGroup[] {
  const order = samples.map((_, index) => index);
  order.sort((a, b) => compareIds(samples[a].ids, samples[b].ids) || a - b);
  if (order.length === 0) return [];
  return divide(samples, order, batchTokens, 0)
    .groups.map(({ prefix, members }) => ({ prefix, members: [...members].sort((a, b) => a - b) }))
    .sort((a, b) => b.members.length - a.members.length || a.members[0] - b.members[0]);
}

function divide(samples: readonly Sample[], sorted: readonly number[], batchTokens: number, depth: number): Grouping {
  const shared = sharedLength(samples, sorted);
  const whole = oneGroup(samples, sorted, shared, batchTokens);
  if (depth >= MAX_DEPTH) return whole;
  const kept: Grouping[] = [];
  const rest: number[] = [];
  for (const branch of branches(samples, sorted, shared)) {
    const alone =
      branch.length > 1 && branch.length < sorted.length ? divide(samples, branch, batchTokens, depth + 1) : null;
    if (alone && alone.cost < suffixTokens(samples, branch, shared)) kept.push(alone);
    else rest.push(...branch);
  }
  const parts = rest.length > 0 ? [...kept, oneGroup(samples, rest, shared, batchTokens)] : kept;
  const cost = parts.reduce((sum, part) => sum + part.cost, 0);
  return cost < whole.cost ? { groups: parts.flatMap((part) => part.groups), cost } : whole;
}

function oneGroup(
  samples: readonly Sample[],
  members: readonly number[],
  shared: number,
  batchTokens: number,
): Grouping {
  const tokens = suffixTokens(samples, members, shared);
  const prefix = samples[members[0]].ids.slice(0, shared);
  return { groups: [{ prefix, members }], cost: tokens + Math.ceil(tokens / batchTokens) * shared };
}

function suffixTokens(samples: readonly Sample[], members: readonly number[], shared: number): number {
  return members.reduce((sum, index) => sum + samples[index].ids.length - shared, 0);
}

/** The last prompt token predicts the first answer token, so it stays outside the prefix. */
function longestPrefix(sample: Sample): number {
  return sample.answers[0].start - 1;
}

function sharedLength(samples: readonly Sample[], sorted: readonly number[]): number {
  const first = samples[sorted[0]].ids;
  const last = samples[sorted[sorted.length - 1]].ids;
  let limit = Number.POSITIVE_INFINITY;
  for (const index of sorted) limit = Math.min(limit, longestPrefix(samples[index]));
  let length = 0;
  // in sorted order the first and the last differ earliest
  while (length < limit && first[length] === last[length]) length++;
  return length;
}

/** Runs of sorted samples with the same token after the shared ones; samples that cannot go on stand alone. */
function* branches(samples: readonly Sample[], sorted: readonly number[], shared: number): Generator<number[]> {
  let run: number[] = [];
  let token = -1;
  for (const index of sorted) {
    const next = longestPrefix(samples[index]) > shared ? samples[index].ids[shared] : -1;
    if (run.length > 0 && (next !== token || next === -1)) {
      yield run;
      run = [];
    }
    run.push(index);
    token = next;
  }
  if (run.length > 0) yield run;
}

function compareIds(a: Int32Array, b: Int32Array): number {
  const length = Math.min(a.length, b.length);
  for (let i = 0; i < length; i++) if (a[i] !== b[i]) return a[i] - b[i];
  return a.length - b.length;
}
