// What a training run will need, told before it starts, and refused where the machine does not have it.
import { freemem, totalmem } from 'node:os';
import { formatBytes } from '../base/duration.ts';
import { CupelError } from '../base/errors.ts';
import type { ModelConfig, PackLayout } from '../models/model.ts';
import type { LoraLayout } from '../train/lora.ts';

export interface Need {
  /** Bytes resident at most. */
  memory: number;
  /** Bytes on disk while training. */
  disk: number;
}

export interface Shape {
  config: ModelConfig;
  weights: ReadonlyMap<string, readonly number[]>;
  lora: LoraLayout;
  precision: 'int8' | 'float32';
  train: PackLayout;
  validation: PackLayout;
  /** Positions of a batch that carry loss, at most. */
  answers: number;
}

/** Node, ONNX Runtime and their libraries. */
const RUNTIME_BYTES = 350e6;
/** Numbers kept for the backward pass, for each token and layer, in widths of the residual stream (measured on SmolLM2). */
const WIDTHS_KEPT = 34;
/** Logits, their gradient and the probabilities. */
const LOGIT_COPIES = 3;

export function estimate({ config, weights, lora, precision, train, validation, answers }: Shape): Need {
  let projections = 0;
  let others = 0;
  for (const [name, shape] of weights) {
    const size = shape.reduce((a, b) => a * b, 1);
    if (shape.length === 2 && !/embed|lm_head/.test(name)) projections += size;
    else others += size;
  }
  // int8 weights are held twice, for the forward and the backward product
  const constants = (precision === 'int8' ? 2 * projections : 4 * projections) + 4 * others;
  const tokens = (layout: PackLayout) => layout.prefix + layout.rows * layout.length;
  const scores = (layout: PackLayout) =>
    layout.prefix ** 2 + layout.rows * layout.length * (layout.prefix + layout.length);
  const kept =
    4 * config.layers * (WIDTHS_KEPT * config.hiddenSize * tokens(train) + 2 * headsOf(config) * scores(train));
  const logits = 4 * LOGIT_COPIES * answers * config.vocabularySize;
  const validating = 4 * (8 * config.hiddenSize * tokens(validation) + 2 * headsOf(config) * scores(validation));
  return {
    memory: RUNTIME_BYTES + 2 * constants + kept + logits + validating + 6 * 4 * lora.size,
    disk: 2 * constants + 3 * 16 * lora.size,
  };
}

function headsOf(config: ModelConfig): number {
  return (config as { heads?: number }).heads ?? Math.ceil(config.hiddenSize / 64);
}

/** @throws CupelError when the machine has less memory than the run needs, with the settings that would fit */
export function refuseWhatCannotFit(need: Need, batchTokens: number): void {
  const there = totalmem();
  if (need.memory <= there) return;
  throw new CupelError(
    `training needs about ${formatBytes(need.memory)} of memory; this machine has ${formatBytes(there)}`,
    {
      place: { field: 'memory' },
      remedy: `lower --batch-tokens (now ${batchTokens}) or --max-length, use --precision int8, or take a smaller student`,
    },
  );
}

export function describeNeed({ memory, disk }: Need): string {
  return `plan: about ${formatBytes(memory)} of memory (${formatBytes(freemem())} are free) and ${formatBytes(disk)} of disk while training`;
}
