// What a model family is: how to read its config, build its forward graph and name its weights.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';

/** What every family's config has in common; families extend it. */
export interface ModelConfig {
  readonly modelType: string;
  /** D, the width of the residual stream. */
  readonly hiddenSize: number;
  readonly layers: number;
  /** V */
  readonly vocabularySize: number;
  /** Longest sequence the model was made for. */
  readonly maxPositions: number;
  /** The output head is the embedding table. */
  readonly tiedEmbeddings: boolean;
}

/** One projection of a group that shares its input; `name` is the Hugging Face module, e.g. `model.layers.0.mlp.up_proj`. */
export interface Projection {
  readonly name: string;
  readonly out: number;
  /** `name.bias` exists. */
  readonly bias: boolean;
}

/**
 * Where a forward graph gets its weights. Training passes its own: frozen constants, graph inputs that are trained,
 * LoRA beside a product, int8 products. This is the seam for every such rewrite.
 */
export interface Weights {
  /** A tensor used as it is: norms, embeddings. `name` is the Hugging Face name, e.g. `model.norm.weight`. */
  weight(name: string, shape: readonly number[]): Value;
  /** x [..., in] through projections that share it (q, k, v or gate, up may be computed as one product); one result each. */
  linear(x: Value, projections: readonly Projection[]): readonly Value[];
  /** x [...,K] through the matrix `name` [N,K] that is no projection, the vocabulary's; without it, `weight` and a float32 product. */
  product?(x: Value, name: string, shape: readonly [number, number]): Value;
}

/**
 * Inputs of a packed batch, all int64 [B,S]. A token attends to earlier tokens of its own segment and of segment 0, which is
 * the prefix that all conversations of a pack share (positions of the others continue after it). Padding: a segment of its own.
 */
export interface ModelInputs {
  readonly ids: Value;
  readonly positions: Value;
  readonly segments: Value;
  /** Given, B is 1 and the tokens stand in this order; attention then skips the scores between rows. */
  readonly layout?: PackLayout;
  /** Queries that attend together to the keys up to their last one; default 128. */
  readonly chunk?: number;
  /** The tokens of x [B,S,D] whose hidden states alone are wanted, as [A,D]; default all. */
  readonly wanted?: (x_BSD: Value) => Value;
}

/** P prefix tokens that all rows share (their segment is 0), then B rows of S tokens; T = P + B*S in all. */
export interface PackLayout {
  /** P */
  readonly prefix: number;
  /** B */
  readonly rows: number;
  /** S */
  readonly length: number;
}

/** How hidden states become logits: hidden @ weight^T, then an optional soft cap (cap * tanh(x / cap)). */
export interface Head {
  readonly weight: string;
  readonly softCap: number | null;
}

/** What a router decided for N tokens and E experts. */
export interface Routing {
  /** Softmax over all experts, [N,E]. */
  readonly scores: Value;
  /** bool [N,E], as many true in each row as experts meet a token. */
  readonly chosen: Value;
}

export interface ModelFamily<C extends ModelConfig = ModelConfig> {
  /** The `model_type` values of config.json that this family reads. */
  readonly modelTypes: readonly string[];
  /** @throws CupelError naming the field of config.json that is missing or unsupported */
  parseConfig(json: unknown): C;
  /** Every weight by its Hugging Face name, with its shape (projections are [out, in]). */
  weightShapes(config: C): ReadonlyMap<string, readonly number[]>;
  /** The hidden states after the last norm, [B,S,D], or [A,D] of those that are wanted. Layers with experts add to `routings` what their routers decided. */
  forward(b: Builder, config: C, inputs: ModelInputs, weights: Weights, routings?: Routing[]): Value;
  head(config: C): Head;
  /** Of the usual learning rate, what the family takes without diverging; default 1. */
  readonly rateShare?: number;
  /** Families with experts: the loss that keeps them evenly used, a scalar, times the config's coefficient. */
  balance?(b: Builder, config: C, routings: readonly Routing[], inputs: ModelInputs): Value;
}

/** Weights by Hugging Face name, read one tensor at a time as float32. Implemented over safetensors and GGUF in formats/. */
export interface WeightSource {
  names(): Iterable<string>;
  shape(name: string): readonly number[];
  read(name: string): Float32Array;
}
