// The options of the distill stage and their defaults.
import type { DeviceChoice } from '../runtime/device.ts';
import type { OptimiserName } from '../train/optimiser.ts';
import type { LossWeighting } from '../train/packing.ts';

/** Raise when the same input gives another adapter. */
export const DISTILL_VERSION = 1;

export const ENGINES = ['onnxruntime', 'openvino', 'cupel', 'auto'] as const;
export type EngineChoice = (typeof ENGINES)[number];
export type Engine = Exclude<EngineChoice, 'auto'>;

export interface DistillOptions {
  /** Seconds from the start of the stage to the trained adapter. */
  budgetSeconds: number;
  /** LoRA rank. */
  rank: number;
  /** Adapters are scaled by alpha / rank. */
  alpha: number;
  /** Last parts of the names of the projections that get an adapter. */
  targets: string[];
  /** Layers before this one get no adapter: each step is cheaper. */
  firstLayer: number;
  /** Peak of the schedule: linear warm-up, then half a cosine. */
  learningRate: number;
  warmupSteps: number;
  /** Last learning rate as a share of the peak. */
  floor: number;
  /**
   * Of the products with projections' weights, frozen or, with `full`, kept in float32 beside; `full` takes no int4, and bf16, of
   * all products, is for it alone.
   */
  precision: 'int8' | 'int4' | 'float32' | 'bf16';
  /** Most passes over the training conversations. */
  maxEpochs: number;
  /** Tokens of a batch, a shared prefix not counted. */
  batchTokens: number;
  /** Conversations longer than this are left out, and listed. */
  maxTokens: number;
  /** Whether each answer token counts alike in the loss, or each conversation. */
  weighting: LossWeighting;
  /** Weight of a prompt's tokens in the loss beside an answer's; default 0: answers only. */
  promptWeight?: number;
  /** Validations without a better loss before training stops. */
  patience: number;
  /** Most conversations in a validation. */
  validationRows: number;
  seed: number;
  /** Train every weight in place of an adapter: a model folder comes out. */
  full?: boolean;
  /** Default `adamw`. */
  optimiser?: OptimiserName;
  /** Batches that make one step, as one batch so many times as large would; default 1. */
  accumulate?: number;
  /** Share of the answer tokens that carry loss, those with the highest loss; default all. */
  selectTokens?: number;
  /** So many neighbouring layers are trained at a time; default all. */
  layersPerStep?: number;
  /** Steps until other layers are trained; default 25. */
  layerSteps?: number;
  /** Share of the feed-forward channels that takes part, chosen as RigL does: a narrower model comes out. Default all. */
  ffnDensity?: number;
  /** Steps between updates of which channels take part; default 25. */
  ffnSteps?: number;
  /** Bytes resident at most: layers are computed again in the backward pass until it fits. Default: what the machine has. */
  memory?: number;
  /** Default `cpu`. */
  device?: DeviceChoice;
  /**
   * What computes on the processor; default `onnxruntime`. Another engine rounds differently: it is another adapter. `cupel` are kernels of
   * its own, for bf16, and for int8 with `full`.
   */
  engine?: Engine;
  /** Measure where the time of the first steps goes. */
  profile?: boolean;
  /** A fixed number of steps in place of the budget: two runs are then the same bit by bit. */
  steps?: number;
  /** Threads for one op; all cores without it. */
  threads?: number;
}

export const DISTILL_DEFAULTS: DistillOptions = {
  budgetSeconds: 600,
  rank: 8,
  alpha: 128,
  targets: ['q_proj', 'k_proj', 'v_proj', 'o_proj', 'gate_proj', 'up_proj', 'down_proj'],
  firstLayer: 0,
  learningRate: 1e-3,
  warmupSteps: 5,
  floor: 0.05,
  precision: 'int8',
  maxEpochs: 20,
  batchTokens: 512,
  maxTokens: 1024,
  weighting: 'token',
  patience: 5,
  validationRows: 200,
  seed: 0,
};
