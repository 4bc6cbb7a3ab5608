// A step in parts: some rows of its batch each, run side by side on a thread of their own. That is faster than both threads on
// every op, and only what is under way keeps its activations.

import { floats, type Tensor } from '../graph/tensor.ts';
import type { ModelFamily, PackLayout } from '../models/model.ts';
import type { Session, Tensors } from '../runtime/session.ts';
import { ALONE } from './crew.ts';
import type { Batch } from './packing.ts';

export interface PartPlan {
  /** Parts of a batch; 1: it is computed whole, with all threads on each op. */
  readonly count: number;
  /** Parts under way at once. */
  readonly lanes: number;
  /** Of one part. */
  readonly layout: PackLayout;
}

/** Smaller parts make narrow products. */
const LEAST_TOKENS = 256;
/** Two threads on two parts against two threads on each op (measured: 1.21 on SmolLM2 at 256 tokens a part). */
const GAIN = 1.2;

/** A balancing loss of experts is of a whole batch; so are the features of frozen first layers. */
export function mayBeCut({ balance }: ModelFamily, firstLayer = 0): boolean {
  return !balance && firstLayer === 0;
}

export function whole(layout: PackLayout): PartPlan {
  return { count: 1, lanes: 1, layout };
}

/** The ways to cut a batch, the fewest parts first. Every part computes the shared prefix: where that costs too much there is only the whole. */
export function partPlans(layout: PackLayout, lanes: number, batches = 1): PartPlan[] {
  const plans: PartPlan[] = [];
  for (let count = lanes; lanes > 1 && count <= layout.rows; count += lanes) {
    if (layout.rows % count === 0) plans.push({ count, lanes, layout: { ...layout, rows: layout.rows / count } });
  }
  const { prefix, rows, length } = layout;
  const pays = plans.length > 0 && plans[0].count * prefix + rows * length < GAIN * (prefix + rows * length);
  return pays ? plans : [{ ...whole(layout), lanes: Math.min(lanes, batches) }];
}

/**
 * As many parts as leave each enough tokens.
 * @param batches of a step: where one must stay whole, they are parts themselves
 */
export function planParts(layout: PackLayout, lanes: number, batches = 1): PartPlan {
  const [first, ...more] = partPlans(layout, lanes, batches);
  const cheap = ({ layout: { prefix, rows, length } }: PartPlan) => prefix === 0 && rows * length >= LEAST_TOKENS;
  return more.findLast(cheap) ?? first;
}

/** The parts of a batch that carry loss, whose weights still sum to 1 over all of them. */
export function cutBatch(batch: Batch, { prefix, length }: PackLayout, plan: PartPlan): Batch[] {
  if (plan.count === 1) return [batch];
  const size = plan.layout.rows * length;
  const parts = Array.from({ length: plan.count }, (_, part) => {
    const cut = (from: Int32Array) => {
      const own = new Int32Array(prefix + size);
      own.set(from.subarray(0, prefix));
      own.set(from.subarray(prefix + part * size, prefix + (part + 1) * size), prefix);
      return own;
    };
    const losses = [...batch.lossAt.keys()].filter((i) => Math.floor((batch.lossAt[i] - prefix) / size) === part);
    return {
      ...batch,
      ids: cut(batch.ids),
      positions: cut(batch.positions),
      segments: cut(batch.segments),
      lossAt: Int32Array.from(losses, (i) => batch.lossAt[i] - part * size),
      targets: Int32Array.from(losses, (i) => batch.targets[i]),
      weights: Float32Array.from(losses, (i) => batch.weights[i]),
    };
  });
  return parts.filter(({ lossAt }) => lossAt.length > 0);
}

export interface PartSum {
  readonly loss: number;
  readonly gradient: Float32Array;
  /** Of all parts, one after the other. */
  readonly nll: Float32Array;
}

/** Runs the parts of steps and adds up what they come to, always in the same order. */
export class PartRunner {
  readonly #lanes: number;
  readonly #sum: Float32Array;
  #buffers: Float32Array[] = [];

  /** @param size of the largest gradient */
  constructor(lanes: number, size: number) {
    this.#lanes = lanes;
    this.#sum = new Float32Array(size);
  }

  /** @param common inputs of every part; @param size of the gradient, which the next call overwrites */
  async run(session: Session, parts: readonly Tensors[], common: Tensors, size: number): Promise<PartSum> {
    const sum = this.#sum.subarray(0, size);
    if (parts.length === 1) {
      const { loss, nll } = await session.run({ ...parts[0], ...common }, { gradient: vector(sum) });
      return { loss: floats(loss)[0], gradient: sum, nll: floats(nll) };
    }
    if (this.#buffers.length === 0)
      this.#buffers = Array.from({ length: this.#lanes }, () => new Float32Array(this.#sum.length));
    let loss = 0;
    const nll: number[] = [];
    for (let at = 0; at < parts.length; at += this.#lanes) {
      const wave = parts.slice(at, at + this.#lanes).map((part, lane) => {
        const gradient = vector(this.#buffers[lane].subarray(0, size));
        return session.run({ ...part, ...common }, { gradient });
      });
      for (const [lane, result] of (await Promise.all(wave)).entries()) {
        const own = floats(result.gradient);
        if (at + lane === 0) sum.set(own);
        else ALONE.run({ kernel: 'accumulate', arrays: [sum, own], factors: [1, 1] });
        loss += floats(result.loss)[0];
        nll.push(...floats(result.nll));
      }
    }
    return { loss, gradient: sum, nll: Float32Array.from(nll) };
  }
}

export function vector(data: Float32Array): Tensor {
  return { dtype: 'float32', shape: [data.length], data };
}
