// What the manifest of a trained adapter says about it.
import type { OpTime } from '../runtime/profile.ts';
import type { Note } from '../train/loop.ts';

export interface DistillFacts extends Record<string, unknown> {
  /** Numbers that are trained. */
  parameters: number;
  conversations: { train: number; validation: number };
  /** Lines of train.jsonl's source that were longer than `maxTokens`. */
  tooLong: number[];
  /** Of one pass over the training conversations; a shared prefix counts once a batch. */
  tokensPerEpoch: number;
  /** Tokens of the prefix that conversations share, rows and row length of a batch. */
  batch: { prefix: number; rows: number; length: number };
  steps: number;
  /** Tokens trained on, padding not counted. */
  tokens: number;
  tokensPerSecond: number;
  epochs: number;
  /** Of the adapter that was kept: mean loss of the answer tokens (nats), share of conversations predicted without a fault. */
  validationLoss: number;
  validationExact: number;
  bestStep: number;
  /** Why training ended. */
  reason: string;
  notes: readonly Note[];
  /** Planned and measured, bytes resident at most. */
  memory: { planned: number; peak: number };
  /** Layers that were computed again in the backward pass to save memory. */
  recomputedLayers: number;
  /** Useful operations for a token, the peak of this machine's products in int8, or in bf16 where it is trained in that (10^9 a second), and the share of it that was used. */
  flops: { perToken: number; peakGops: number; utilisation: number };
  device: string;
  /** What ran the steps; not in adapters of earlier versions, which ONNX Runtime trained. */
  engine?: string;
  /** With `profile`: the time of the first steps by ONNX operator. */
  profile?: readonly OpTime[];
  /** `int8` with its largest level, `bf16`, `int4` or `float32`. */
  precision: string;
}
