// The graphs of training: one step (loss and gradient of theta) and one validation batch (log likelihoods of answer tokens).
import { Builder } from '../graph/builder.ts';
import { gradients } from '../graph/gradient.ts';
import type { Graph, Value } from '../graph/node.ts';
import { int64, type Tensor } from '../graph/tensor.ts';
import { tokenLoss } from '../models/loss.ts';
import type {
  ModelConfig,
  ModelFamily,
  ModelInputs,
  PackLayout,
  Routing,
  WeightSource,
  Weights,
} from '../models/model.ts';
import { frozenWeights, type Precision } from './frozen.ts';
import type { LayerWindow } from './layer-sampling.ts';
import { type LoraLayout, loraValues } from './lora.ts';
import type { Batch } from './packing.ts';

/** A model as the catalog and formats/ hand it over. */
export interface BaseModel<C extends ModelConfig = ModelConfig> {
  readonly family: ModelFamily<C>;
  readonly config: C;
  readonly weights: WeightSource;
}

export interface GraphOptions {
  readonly base: BaseModel;
  readonly shape: PackLayout;
  readonly lora: LoraLayout;
  readonly precision: Precision;
  /** So many layers keep only their input and compute the rest again in the backward pass: less memory, more time. Default 0. */
  readonly recompute?: number;
  /** The only layers that are trained: their part of theta is the further input `window`, and `gradient` is of it. */
  readonly window?: LayerWindow;
}

/** What a batch comes to. */
export interface BatchLoss {
  /** [A] */
  readonly nll: Value;
  /** The largest log probability at each position, [A]. */
  readonly best: Value;
  /** Models with experts: the loss that keeps them evenly used. */
  readonly balance: Value | null;
}

interface Parts extends BatchLoss {
  readonly b: Builder;
  /** Theta, or the part of it that is trained. */
  readonly moving: Value;
}

/** Inputs of `feeds` and theta; outputs `loss` (a scalar), `gradient` (of theta) and `nll`, the loss at each position, [A]. */
export function stepGraph(options: GraphOptions): Graph {
  const { b, moving, nll, ...rest } = forward(options);
  const loss = stepLoss(b, { nll, ...rest });
  const [gradient] = gradients(b, loss, [moving], { recompute: options.recompute });
  b.output('loss', loss);
  b.output('gradient', gradient);
  b.output('nll', nll);
  return b.graph();
}

/** Inputs as `stepGraph` but for `weights`; outputs `nll` [A] and `best` [A], the largest log probability at each position. */
export function validationGraph(options: GraphOptions): Graph {
  const { b, nll, best } = forward(options);
  b.output('nll', nll);
  b.output('best', best);
  return b.graph();
}

/** The loss of a step, a scalar: declares the input `weights` [A]. */
export function stepLoss(b: Builder, { nll, balance }: BatchLoss): Value {
  const weights = b.input('weights', 'float32', ['A']);
  const own = b.reduceSum(b.mul(nll, weights), [0]);
  return balance ? b.add(own, balance) : own;
}

function forward({ base, shape, lora, precision, window }: GraphOptions): Parts {
  const b = new Builder();
  const theta = b.input('theta', 'float32', [lora.size]);
  const scale = lora.options.alpha / lora.options.rank;
  const moving = window ? b.input('window', 'float32', [window.layout.size]) : theta;
  const sampled = window ? loraValues(b, moving, window.layout) : [];
  const values = new Map([...loraValues(b, theta, lora), ...sampled]);
  const weights = frozenWeights(b, base.weights, precision, { values, scale });
  return { b, moving, ...batchLoss(b, base, shape, weights) };
}

/** What graphs for Cupel's own kernels do in another way. */
export interface GraphWays {
  /** See `ModelInputs`. */
  readonly chunk?: number;
  /** What comes after the last attention is computed for answers alone. */
  readonly answersLast?: boolean;
}

/** Declares the inputs of `feeds` but for `weights`, and computes a batch. */
export function batchLoss(
  b: Builder,
  base: BaseModel,
  shape: PackLayout,
  weights: Weights,
  { chunk, answersLast = false }: GraphWays = {},
): BatchLoss {
  const tokens = shape.prefix + shape.rows * shape.length;
  const whole = {
    ids: b.input('ids', 'int64', [1, tokens]),
    positions: b.input('positions', 'int64', [1, tokens]),
    segments: b.input('segments', 'int64', [1, tokens]),
  };
  const laidOut: ModelInputs = shape.prefix > 0 ? { ...whole, layout: shape } : inRows(b, whole, shape);
  const lossAt = b.input('lossAt', 'int64', ['A']);
  const ofAnswers = (x: Value) => b.gather(b.reshape(x, [tokens, base.config.hiddenSize]), lossAt);
  const inputs = { ...laidOut, chunk, wanted: answersLast ? ofAnswers : undefined };
  const targets = b.input('targets', 'int64', ['A']);
  const routings: Routing[] = [];
  const hidden = base.family.forward(b, base.config, inputs, weights, routings);
  const answers = answersLast ? hidden : ofAnswers(hidden);
  const { loss: nll, best } = tokenLoss(b, base.family, base.config, weights, answers, targets);
  const balance = base.family.balance?.(b, base.config, routings, inputs) ?? null;
  return { nll, best, balance };
}

/** Rows that share nothing are an ordinary batch [B,S]. */
function inRows(b: Builder, whole: Omit<ModelInputs, 'layout'>, { rows, length }: PackLayout): ModelInputs {
  const row = (x: Value) => b.reshape(x, [rows, length]);
  return { ids: row(whole.ids), positions: row(whole.positions), segments: row(whole.segments) };
}

/** The tensors of a batch, by the names of the inputs. */
export function feeds(
  batch: Batch,
): Record<'ids' | 'positions' | 'segments' | 'lossAt' | 'targets' | 'weights', Tensor> {
  const tokens = [1, batch.ids.length];
  const answers = [batch.lossAt.length];
  return {
    ids: int64(tokens, batch.ids),
    positions: int64(tokens, batch.positions),
    segments: int64(tokens, batch.segments),
    lossAt: int64(answers, batch.lossAt),
    targets: int64(answers, batch.targets),
    weights: { dtype: 'float32', shape: answers, data: batch.weights },
  };
}
