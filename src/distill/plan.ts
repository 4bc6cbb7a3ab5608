// What a training run will need, told before it starts, and refused where the machine does not have it.
import { freemem, totalmem } from 'node:os';
import { formatBytes } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import { WHOLE_VOCABULARY } from '../models/loss.ts';
import type { ModelConfig, PackLayout } from '../models/model.ts';
import type { OpenvinoPrecision } from '../runtime/openvino.ts';
import type { LoraLayout } from '../train/lora.ts';
import { type PartPlan, partPlans, planParts, whole } from '../train/parts.ts';

export interface Need {
  /** Bytes resident at most. */
  memory: number;
  /** Bytes on disk while training. */
  disk: number;
}

export interface Shape {
  config: ModelConfig;
  weights: ReadonlyMap<string, readonly number[]>;
  /** Weights that are trained and multiplied with; default 0. */
  moving?: number;
  lora: LoraLayout;
  precision: 'int8' | 'int4' | 'float32' | 'bf16';
  train: PackLayout;
  /** How a batch is cut; default whole. */
  parts?: PartPlan;
  validation: PackLayout;
  /** Positions of a batch that carry loss, at most. */
  answers: number;
  /** What the optimiser remembers of a trained number; default AdamW's 8. */
  stateBytes?: number;
  /** Layers that are computed again in the backward pass; default 0. */
  recompute?: number;
  /** OpenVINO runs the steps, and in what; default ONNX Runtime. */
  compiled?: OpenvinoPrecision;
  /** Cupel's own kernels run steps and validation: the memory that they take, known to the byte, with so many layers computed again. */
  arenas?: (recompute: number) => number;
}

/** Node, ONNX Runtime and their libraries. */
const RUNTIME_BYTES = 350e6;
/** Numbers kept for the backward pass, for each token and layer: in widths of the residual stream and of the feed-forward block. */
const WIDTHS_KEPT = { residual: 11, feedForward: 4 };
/** Of a number that OpenVINO keeps, in bfloat16 but for some, and of the code of a layer (measured on SmolLM2). */
const COMPILED_BYTES = { bf16: 2, f32: 4 } as const;
const COMPILED_LAYER_BYTES = 4e6;
/** Of a weight that is trained, in the graph alone. */
const MOVING_COMPILED_BYTES = 8;
/** Bytes of a frozen weight in the session of steps and in that of validation. */
const WEIGHT_BYTES = {
  // held twice, for the forward and the backward product
  int8: { training: 2, validating: 1 },
  // 4 bits, and a float32 scale for 32 of them, in steps twice
  int4: { training: 0.75, validating: 0.625 },
  float32: { training: 4, validating: 4 },
  bf16: { training: 4, validating: 4 },
} as const;
/** Logits, their gradient and the probabilities. */
const LOGIT_COPIES = 3;

export function estimate(shape: Shape): Need {
  const {
    config,
    weights,
    lora,
    precision,
    validation,
    answers,
    parts = whole(shape.train),
    recompute = 0,
    stateBytes = 8,
    moving = 0,
    compiled,
    arenas,
  } = shape;
  if (arenas)
    return {
      memory: RUNTIME_BYTES + arenas(recompute) + (4 * 4 + stateBytes) * lora.size,
      disk: 3 * (8 + stateBytes) * lora.size,
    };
  let projections = 0;
  let others = 0;
  for (const [name, shape] of weights) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (shape.length === 2 && !/embed|lm_head/.test(name)) projections += size;
    else others += size;
  }
  const { training, validating: checked } = WEIGHT_BYTES[precision];
  const constants = training * projections + 4 * others;
  const validationConstants = checked * projections + 4 * others;
  const tokens = (layout: PackLayout) => layout.prefix + layout.rows * layout.length;
  const scores = (layout: PackLayout) =>
    layout.prefix ** 2 + layout.rows * layout.length * (layout.prefix + layout.length);
  // parts that are under way at once
  const atOnce = (each: (layout: PackLayout) => number) => parts.lanes * each(parts.layout);
  const bytes = compiled ? COMPILED_BYTES[compiled] : 4;
  const layer = bytes * (keptOf(config) * atOnce(tokens) + headsOf(config) * atOnce(scores));
  // one that is computed again keeps its input; while its gradient is computed all of it is there, and what that needs
  const again = recompute * bytes * config.hiddenSize * atOnce(tokens) + (recompute > 0 ? 1.5 * layer : 0);
  const kept = (config.layers - recompute) * layer + again;
  // measured: ONNX Runtime holds the float32 matrices of 4-bit weights, but for layers that are computed again
  const dequantised = precision === 'int4' ? (16 * projections * (config.layers - recompute)) / config.layers : 0;
  // made in each step: one way round until the backward pass, the other until its product is done; OpenVINO makes them in bfloat16 first
  const copies = precision === 'int8' ? (compiled ? MOVING_COMPILED_BYTES : 2) * moving : 0;
  const logits = 4 * LOGIT_COPIES * ((answers * parts.lanes) / parts.count) * config.vocabularySize;
  // a large vocabulary's parts are arranged for the products of both passes
  const table =
    compiled && config.vocabularySize > WHOLE_VOCABULARY
      ? 2 * COMPILED_BYTES[compiled] * config.vocabularySize * config.hiddenSize
      : 0;
  const gradients = parts.lanes > 1 ? 4 * parts.lanes * lora.size : 0;
  const validating = 8 * (8 * config.hiddenSize * tokens(validation) + 2 * headsOf(config) * scores(validation));
  return {
    memory:
      RUNTIME_BYTES +
      (compiled ? COMPILED_LAYER_BYTES * (config.layers + recompute) : 0) +
      dequantised +
      copies +
      table +
      constants +
      validationConstants +
      kept +
      logits +
      gradients +
      validating +
      (4 * 4 + stateBytes) * lora.size,
    // steps and validation have them in common
    disk: constants + 3 * (8 + stateBytes) * lora.size,
  };
}

function keptOf(config: ModelConfig): number {
  const { intermediateSize = 2 * config.hiddenSize } = config as { intermediateSize?: number };
  return WIDTHS_KEPT.residual * config.hiddenSize + WIDTHS_KEPT.feedForward * intermediateSize;
}

function headsOf(config: ModelConfig): number {
  return (config as { heads?: number }).heads ?? Math.ceil(config.hiddenSize / 64);
}

/** What a run may take: the setting, or what the machine or its container has. */
export function memoryLimit(asked: number | undefined): number {
  const constrained = process.constrainedMemory();
  return asked ?? Math.min(totalmem(), constrained > 0 ? constrained : Number.POSITIVE_INFINITY);
}

export interface Fit {
  readonly parts: PartPlan;
  readonly recompute: number;
  readonly need: Need;
}

/**
 * The cheapest way in which the run fits into `limit` bytes: smaller parts of a batch first, then the fewest layers computed again.
 * @param lanes parts that may be under way at once; @param batches of a step
 * @throws CupelError when nothing fits, with the settings that would
 */
export function fitMemory(shape: Shape, limit: number, batchTokens: number, lanes = 1, batches = 1): Fit {
  const finer = partsAtOnce(shape.train, lanes, batches);
  const again = Array.from({ length: shape.config.layers }, (_, layer) => layer + 1);
  const ways = [
    ...finer.map((parts) => ({ parts, recompute: 0 })),
    ...again.map((recompute) => ({ parts: finer.at(-1)!, recompute })),
  ];
  const fits: Fit[] = [];
  for (const way of ways) {
    const need = estimate({ ...shape, ...way });
    if (need.memory <= limit) return { ...way, need };
    fits.push({ ...way, need });
  }
  const least = fits.toSorted((a, b) => a.need.memory - b.need.memory)[0].need.memory;
  throw new CupelError(`training needs at least ${formatBytes(least)} of memory; it may take ${formatBytes(limit)}`, {
    place: { field: 'memory' },
    remedy: `raise --memory, lower --batch-tokens (now ${batchTokens}) or --max-length, use --precision int8, or take a smaller student`,
  });
}

/** The usual parts, smaller ones, and where parts are batches one batch at a time. */
function partsAtOnce(layout: PackLayout, lanes: number, batches: number): PartPlan[] {
  const usual = planParts(layout, lanes, batches);
  const one = usual.count < usual.lanes ? [whole(layout)] : [];
  return [...partPlans(layout, lanes, batches).filter(({ count }) => count >= usual.count), ...one];
}

export function describeNeed({ memory, disk }: Need): string {
  return `plan: about ${formatBytes(memory)} of memory (${formatBytes(freemem())} are free) and ${formatBytes(disk)} of disk while training`;
}
