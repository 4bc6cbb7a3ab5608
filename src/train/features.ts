// The hidden states before the first trained layer, computed once a conversation and kept: what is frozen never changes.
import type { Tensor } from '../graph/tensor.ts';
import { floats } from '../graph/tensor.ts';
import type { PackLayout } from '../models/model.ts';
import type { Session } from '../runtime/session.ts';
import { type Batch, type Placement, packBatch } from './packing.ts';
import type { PrefixGroup } from './prefix.ts';
import type { Sample } from './sample.ts';
import { feeds } from './step-graph.ts';

export interface FeatureSource {
  /** The frozen part of the graph: ids, positions and segments in, `cut` [1,T,D] out. */
  readonly session: Session;
  /** D */
  readonly width: number;
  readonly samples: readonly Sample[];
  readonly groups: readonly PrefixGroup[];
  readonly layout: PackLayout;
  /** Placements in the order of training. */
  readonly placements: Iterator<Placement>;
}

/** Bytes that the features of all conversations take. */
export function featureBytes(samples: readonly Sample[], groups: readonly PrefixGroup[], width: number): number {
  let tokens = 0;
  for (const { prefix, members } of groups) {
    tokens += prefix.length;
    for (const index of members) tokens += samples[index].ids.length - prefix.length;
  }
  return 4 * tokens * width;
}

/**
 * Features of a conversation come from the first batch it stands in, also when a resumed run has to compute them again: they
 * are the same bit by bit whatever was interrupted.
 */
export class FeatureCache {
  readonly #source: FeatureSource;
  readonly #placements: Placement[] = [];
  readonly #firstOfSample = new Map<number, number>();
  readonly #firstOfGroup = new Map<number, number>();
  readonly #ofSample = new Map<number, Float32Array>();
  readonly #ofGroup = new Map<number, Float32Array>();
  readonly #buffer: Tensor & { data: Float32Array };

  constructor(source: FeatureSource) {
    this.#source = source;
    const { prefix, rows, length } = source.layout;
    const shape = [1, prefix + rows * length, source.width];
    this.#buffer = { dtype: 'float32', shape, data: new Float32Array(shape[1] * shape[2]) };
  }

  placement(number: number): Placement {
    while (this.#placements.length <= number) {
      const at = this.#placements.length;
      const placement = this.#source.placements.next().value as Placement;
      this.#placements.push(placement);
      if (!this.#firstOfGroup.has(placement.group)) this.#firstOfGroup.set(placement.group, at);
      for (const index of placement.rows.flat()) {
        if (!this.#firstOfSample.has(index)) this.#firstOfSample.set(index, at);
      }
    }
    return this.#placements[number];
  }

  /** Hidden states [1,T,D] of a batch; the tensor is reused by the next call. */
  async features(number: number): Promise<Tensor> {
    const placement = this.placement(number);
    const { group } = placement;
    if (!this.#ofGroup.has(group)) await this.#compute(this.#firstOfGroup.get(group)!);
    for (const { index } of this.#places(placement)) {
      if (!this.#ofSample.has(index)) await this.#compute(this.#firstOfSample.get(index)!);
    }
    const { data } = this.#buffer;
    data.fill(0);
    data.set(this.#ofGroup.get(group)!);
    for (const { index, at } of this.#places(placement)) data.set(this.#ofSample.get(index)!, at * this.#source.width);
    return this.#buffer;
  }

  async #compute(number: number): Promise<void> {
    const { session, samples, groups, layout, width } = this.#source;
    const placement = this.#placements[number];
    const batch = packBatch(samples, groups, layout, placement, 'token');
    const hidden = floats((await session.run(frozenFeeds(batch))).cut);
    const { group } = placement;
    if (this.#firstOfGroup.get(group) === number) {
      this.#ofGroup.set(group, hidden.slice(0, groups[group].prefix.length * width));
    }
    for (const { index, at, tokens } of this.#places(placement)) {
      if (this.#firstOfSample.get(index) !== number) continue;
      this.#ofSample.set(index, hidden.slice(at * width, (at + tokens) * width));
    }
  }

  /** Where each conversation of a placement stands, without its prefix. */
  #places({ group, rows }: Placement): { index: number; at: number; tokens: number }[] {
    const { samples, groups, layout } = this.#source;
    const prefix = groups[group].prefix.length;
    return rows.flatMap((row, number) => {
      let at = layout.prefix + number * layout.length;
      return row.map((index) => {
        const place = { index, at, tokens: samples[index].ids.length - prefix };
        at += place.tokens;
        return place;
      });
    });
  }
}

/** The inputs of the frozen part. */
export function frozenFeeds(batch: Batch) {
  const { ids, positions, segments } = feeds(batch);
  return { ids, positions, segments };
}
