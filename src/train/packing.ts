// Packs conversations into batches of one shape: a shared prefix, then rows that hold several conversations each.
import { Random } from '../base/random.ts';
import type { PackLayout } from '../models/model.ts';
import type { PrefixGroup } from './prefix.ts';
import { answerTokens, type Sample } from './sample.ts';

/** Segment of prefix tokens: all conversations of the batch attend to it. */
export const PREFIX_SEGMENT = 0;
/** Segment of padding: attended by nothing that counts. Conversations are numbered from 1. */
export const PADDING_SEGMENT = -1;

/** One packed batch. Flat arrays of T entries: the prefix, then row after row. */
export interface Batch {
  readonly ids: Int32Array;
  readonly positions: Int32Array;
  readonly segments: Int32Array;
  /** A flat positions whose next token is predicted, those tokens, and their weights. */
  readonly lossAt: Int32Array;
  readonly targets: Int32Array;
  readonly weights: Float32Array;
  /** Sum of the weights before they were made to sum to 1. */
  readonly weight: number;
  /** Samples in the batch, by index. */
  readonly members: readonly number[];
  /** Tokens that are not padding, the prefix counted once. */
  readonly tokens: number;
}

/** How the answer tokens of a batch share the loss: each token alike, or each conversation alike. */
export type LossWeighting = 'token' | 'conversation';

/**
 * The shape that serves all samples: rows as long as the longest suffix, about `batchTokens` tokens in rows, whose number is a
 * multiple of `lanes` unless there are fewer.
 */
export function packLayout(
  samples: readonly Sample[],
  groups: readonly PrefixGroup[],
  batchTokens: number,
  lanes = 1,
): PackLayout {
  let longest = 1;
  let total = 0;
  for (const { prefix, members } of groups) {
    for (const index of members) {
      const suffix = samples[index].ids.length - prefix.length;
      longest = Math.max(longest, suffix);
      total += suffix;
    }
  }
  const length = Math.ceil(Math.max(longest, Math.min(64, total)) / 16) * 16;
  const rows = Math.max(1, Math.round(Math.min(batchTokens, total) / length));
  return {
    prefix: groups.reduce((most, group) => Math.max(most, group.prefix.length), 0),
    rows: rows < lanes ? rows : Math.round(rows / lanes) * lanes,
    length,
  };
}

/** Which samples share a batch, and in which row each stands. */
export interface Placement {
  readonly group: number;
  /** Sample indices, row by row. */
  readonly rows: readonly (readonly number[])[];
}

/** Samples looked at before a batch is closed with some room left. */
const LOOKAHEAD = 24;

/**
 * An endless, seeded stream of placements, epoch after epoch, each sample once an epoch. What does not fill a batch at the
 * end of an epoch waits for the next one. The stream after n placements depends on the seed and n only.
 */
export function* placements(
  samples: readonly Sample[],
  groups: readonly PrefixGroup[],
  shape: PackLayout,
  seed: number,
): Generator<Placement, never> {
  const random = new Random(seed);
  const waiting: number[][] = groups.map(() => []);
  for (;;) {
    const epoch: Placement[] = [];
    groups.forEach(({ prefix, members }, group) => {
      waiting[group].push(...random.shuffle([...members]));
      const sizes = (index: number) => samples[index].ids.length - prefix.length;
      for (;;) {
        const filled = fillRows(waiting[group], sizes, shape);
        if (!filled.full) break;
        waiting[group] = filled.rest;
        epoch.push({ group, rows: filled.rows });
      }
    });
    yield* random.shuffle(epoch);
  }
}

/** Random access to the stream by number; going back replays it from the start, which is cheap. */
export function placementOf(
  samples: readonly Sample[],
  groups: readonly PrefixGroup[],
  layout: PackLayout,
  seed: number,
): (number: number) => Placement {
  let stream = placements(samples, groups, layout, seed);
  let at = 0;
  return (number) => {
    if (number < at) {
      stream = placements(samples, groups, layout, seed);
      at = 0;
    }
    for (; at < number; at++) stream.next();
    at++;
    return stream.next().value as Placement;
  };
}

/** Every sample once, in order, the last placements partly filled: for validation. */
export function placeOnce(samples: readonly Sample[], groups: readonly PrefixGroup[], shape: PackLayout): Placement[] {
  return groups.flatMap(({ prefix, members }, group) => {
    const result: Placement[] = [];
    let rest: readonly number[] = members;
    while (rest.length > 0) {
      const filled = fillRows(rest, (index) => samples[index].ids.length - prefix.length, shape);
      result.push({ group, rows: filled.rows });
      rest = filled.rest;
    }
    return result;
  });
}

/** Best fit of samples, in order, into the rows of one batch. `full`: further samples were waiting that did not fit. */
function fillRows(queue: readonly number[], size: (index: number) => number, shape: PackLayout) {
  const rows: number[][] = Array.from({ length: shape.rows }, () => []);
  const room = new Array<number>(shape.rows).fill(shape.length);
  const rest: number[] = [];
  let at = 0;
  for (; at < queue.length && rest.length < LOOKAHEAD; at++) {
    const need = size(queue[at]);
    let best = -1;
    for (let row = 0; row < shape.rows; row++) {
      if (room[row] >= need && (best < 0 || room[row] < room[best])) best = row;
    }
    if (best < 0) {
      rest.push(queue[at]);
      continue;
    }
    rows[best].push(queue[at]);
    room[best] -= need;
  }
  const full = rest.length > 0;
  return { rows, rest: rest.concat(queue.slice(at)), full };
}

/**
 * Writes a placement out as arrays. The weights of a batch sum to 1.
 * @param promptWeight of a prompt's tokens beside an answer's: prompts as further targets. What the batch's conversations share
 *   is no target: it is the same every time.
 */
export function packBatch(
  samples: readonly Sample[],
  groups: readonly PrefixGroup[],
  shape: PackLayout,
  placement: Placement,
  weighting: LossWeighting,
  promptWeight = 0,
): Batch {
  const { prefix } = groups[placement.group];
  const size = shape.prefix + shape.rows * shape.length;
  const ids = new Int32Array(size);
  const positions = new Int32Array(size);
  const segments = new Int32Array(size).fill(PADDING_SEGMENT);
  const loss: Loss = { at: [], targets: [], weights: [] };
  ids.set(prefix);
  segments.fill(PREFIX_SEGMENT, 0, prefix.length);
  for (let i = 0; i < prefix.length; i++) positions[i] = i;
  const members = placement.rows.flat();
  let segment = PREFIX_SEGMENT;
  placement.rows.forEach((row, number) => {
    let at = shape.prefix + number * shape.length;
    for (const index of row) {
      const { ids: own } = samples[index];
      segment++;
      ids.set(own.subarray(prefix.length), at);
      for (let i = prefix.length; i < own.length; i++) positions[at + i - prefix.length] = i;
      segments.fill(segment, at, at + own.length - prefix.length);
      const offset = at - prefix.length;
      addLoss(loss, samples[index], offset, weighting);
      if (promptWeight > 0)
        addPromptLoss(loss, samples[index], { offset, from: prefix.length + 1 }, promptWeight, weighting);
      at += own.length - prefix.length;
    }
  });
  const sum = loss.weights.reduce((total, weight) => total + weight, 0);
  return {
    ids,
    positions,
    segments,
    lossAt: Int32Array.from(loss.at),
    targets: Int32Array.from(loss.targets),
    weights: Float32Array.from(loss.weights, (weight) => weight / sum),
    weight: sum,
    members,
    tokens: prefix.length + members.reduce((n, index) => n + samples[index].ids.length - prefix.length, 0),
  };
}

interface Loss {
  readonly at: number[];
  readonly targets: number[];
  readonly weights: number[];
}

const tokenWeight = (sample: Sample, weighting: LossWeighting): number =>
  weighting === 'token' ? 1 : 1 / answerTokens(sample);

/** @param offset where position 0 of the sample would stand */
function addLoss(loss: Loss, sample: Sample, offset: number, weighting: LossWeighting): void {
  const weight = tokenWeight(sample, weighting);
  for (const { start, end } of sample.answers) {
    for (let position = start; position < end; position++) {
      loss.at.push(offset + position - 1);
      loss.targets.push(sample.ids[position]);
      loss.weights.push(weight);
    }
  }
}

/** The tokens from position `from` on that are no answer. */
function addPromptLoss(
  loss: Loss,
  sample: Sample,
  { offset, from }: { offset: number; from: number },
  promptWeight: number,
  weighting: LossWeighting,
): void {
  const weight = promptWeight * tokenWeight(sample, weighting);
  for (let position = from; position < sample.ids.length; position++) {
    if (sample.answers.some(({ start, end }) => position >= start && position < end)) continue;
    loss.at.push(offset + position - 1);
    loss.targets.push(sample.ids[position]);
    loss.weights.push(weight);
  }
}
