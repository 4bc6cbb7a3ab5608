// What decoder-only families share: config fields, grouped-query attention, gated feed-forward layers, the residual stack.
import type { Builder } from '../graph/builder.ts';
import type { Value } from '../graph/node.ts';
import type { Attend } from './attention.ts';
import type { ConfigFields } from './config-fields.ts';
import { joinHeads, splitHeads } from './heads.ts';
import type { Head, ModelConfig, ModelInputs, Weights } from './model.ts';
import { parseRope, type Rope, ropeTables } from './rope.ts';

export const EMBEDDING = 'model.embed_tokens.weight';

export interface DecoderConfig extends ModelConfig {
  /** H */
  readonly heads: number;
  /** G */
  readonly keyValueHeads: number;
  /** d */
  readonly headSize: number;
  /** F, the width of the feed-forward layer. */
  readonly intermediateSize: number;
  readonly epsilon: number;
  readonly rope: Rope;
  /** For each layer how many positions it looks back, its own included; undefined: all. */
  readonly windows: readonly (number | undefined)[];
}

export type WeightShapes = Map<string, readonly number[]>;

/** @throws CupelError naming the field of config.json that is missing or wrong */
export function parseDecoder(c: ConfigFields, modelType: string, rope?: Rope): DecoderConfig {
  const heads = c.count('num_attention_heads');
  const keyValueHeads = c.count('num_key_value_heads', heads);
  if (heads % keyValueHeads !== 0)
    throw c.wrong('num_key_value_heads', `${keyValueHeads} does not divide ${heads} heads`);
  const hiddenSize = c.count('hidden_size');
  const headSize = c.count('head_dim', hiddenSize / heads);
  const layers = c.count('num_hidden_layers');
  return {
    modelType,
    hiddenSize,
    layers,
    vocabularySize: c.count('vocab_size'),
    maxPositions: c.count('max_position_embeddings', 2048),
    tiedEmbeddings: c.flag('tie_word_embeddings', false),
    heads,
    keyValueHeads,
    headSize,
    intermediateSize: c.count('intermediate_size'),
    epsilon: c.positive('rms_norm_eps', 1e-6),
    rope: rope ?? parseRope(c, headSize),
    windows: new Array(layers).fill(undefined),
  };
}

/** `layer_types`, or the layers from `max_window_layers` on if `use_sliding_window` says so (Qwen). */
export function qwenWindows(c: ConfigFields, layers: number): (number | undefined)[] {
  if (!c.flag('use_sliding_window', false)) return new Array(layers).fill(undefined);
  const window = c.count('sliding_window', 4096);
  const types = c.has('layer_types') ? c.list('layer_types') : null;
  const first = c.count('max_window_layers', 28);
  return Array.from({ length: layers }, (_, layer) => {
    const sliding = types ? types[layer] === 'sliding_attention' : layer >= first;
    return sliding ? window : undefined;
  });
}

/** `sliding_window` holds for every layer when it is there. */
export function oneWindow(c: ConfigFields, layers: number): (number | undefined)[] {
  return new Array(layers).fill(c.has('sliding_window') ? c.count('sliding_window') : undefined);
}

/** Adds a projection's weight [out, in] and, if it has one, its bias. */
export function addProjection(shapes: WeightShapes, name: string, out: number, width: number, bias = false): void {
  shapes.set(`${name}.weight`, [out, width]);
  if (bias) shapes.set(`${name}.bias`, [out]);
}

/** Embedding, last norm and, unless tied, the output table; `layer` adds what one layer has. */
export function decoderShapes(config: ModelConfig, layer: (shapes: WeightShapes, at: string, index: number) => void) {
  const { hiddenSize: D, vocabularySize: V } = config;
  const shapes: WeightShapes = new Map([[EMBEDDING, [V, D]]]);
  for (let index = 0; index < config.layers; index++) layer(shapes, `model.layers.${index}`, index);
  shapes.set('model.norm.weight', [D]);
  if (!config.tiedEmbeddings) shapes.set('lm_head.weight', [V, D]);
  return shapes;
}

export function decoderHead({ tiedEmbeddings }: ModelConfig): Head {
  return { weight: tiedEmbeddings ? EMBEDDING : 'lm_head.weight', softCap: null };
}

/** Which projections of attention have biases. */
export interface AttentionBiases {
  readonly input: boolean;
  readonly output: boolean;
}

export function addAttention(shapes: WeightShapes, at: string, config: DecoderConfig, biases: AttentionBiases): void {
  const { hiddenSize: D, heads, keyValueHeads, headSize } = config;
  addProjection(shapes, `${at}.self_attn.q_proj`, heads * headSize, D, biases.input);
  addProjection(shapes, `${at}.self_attn.k_proj`, keyValueHeads * headSize, D, biases.input);
  addProjection(shapes, `${at}.self_attn.v_proj`, keyValueHeads * headSize, D, biases.input);
  addProjection(shapes, `${at}.self_attn.o_proj`, D, heads * headSize, biases.output);
}

/** Gate, up and down under the prefix `at`. */
export function addFeedForward(shapes: WeightShapes, at: string, D: number, F: number, bias = false): void {
  addProjection(shapes, `${at}.gate_proj`, F, D, bias);
  addProjection(shapes, `${at}.up_proj`, F, D, bias);
  addProjection(shapes, `${at}.down_proj`, D, F, bias);
}

/** The two norms before attention and before the feed-forward layer. */
export function addLayerNorms(shapes: WeightShapes, at: string, D: number): void {
  shapes.set(`${at}.input_layernorm.weight`, [D]);
  shapes.set(`${at}.post_attention_layernorm.weight`, [D]);
}

/** What one layer adds to the residual stream x [B,S,D], in order; each branch norms for itself. */
export type Branches = (at: string, layer: number) => readonly ((x: Value) => Value)[];

/**
 * x = x + branch(x) through all layers.
 * @param wanted see `ModelInputs`: the last branch of all, which must take each token by itself, computes nothing for the others
 */
export function residualStack(
  b: Builder,
  layers: number,
  start_BSD: Value,
  branches: Branches,
  wanted = (x: Value) => x,
): Value {
  let x = start_BSD;
  for (let layer = 0; layer < layers; layer++)
    b.scope(`layers.${layer}`, () => {
      b.checkpoints.push(x);
      const own = branches(`model.layers.${layer}`, layer);
      own.forEach((branch, at) => {
        if (layer === layers - 1 && at === own.length - 1) x = wanted(x);
        x = b.add(x, branch(x));
      });
    });
  b.checkpoints.push(x);
  return x;
}

/** x over its root mean square, times the weight `name` (Zhang and Sennrich, 2019). */
export type Norm = (x: Value, name: string) => Value;

export function rmsNormOf(b: Builder, weights: Weights, epsilon: number): Norm {
  return (x, name) => b.rmsNorm(x, weights.weight(`${name}.weight`, [x.shape.at(-1) as number]), epsilon);
}

export interface AttentionOptions {
  readonly biases: AttentionBiases;
  /** Norms queries and keys head by head, by `self_attn.q_norm` and `k_norm`. */
  readonly headNorm?: Norm;
  /** Default 1/sqrt(d). */
  readonly scale?: number;
  /** Default the config's, called `rope`. */
  readonly rope?: { readonly name: string; readonly rope: Rope };
}

/** Grouped-query attention (Ainslie et al., 2023) with rotary positions over h [B,S,D]. */
export function groupedAttention(
  b: Builder,
  config: DecoderConfig,
  { positions }: ModelInputs,
  weights: Weights,
  h_BSD: Value,
  at: string,
  attend: Attend,
  options: AttentionOptions,
): Value {
  const { heads, keyValueHeads, headSize } = config;
  const { biases, headNorm, scale = headSize ** -0.5, rope = { name: 'rope', rope: config.rope } } = options;
  const project = (name: string, out: number, bias: boolean) => ({ name: `${at}.self_attn.${name}`, out, bias });
  const [q, k, v] = weights.linear(h_BSD, [
    project('q_proj', heads * headSize, biases.input),
    project('k_proj', keyValueHeads * headSize, biases.input),
    project('v_proj', keyValueHeads * headSize, biases.input),
  ]);
  const { cos, sin } = ropeTables(b, rope.name, rope.rope, config.maxPositions, positions);
  const turned = (x: Value, count: number, norm: string) => {
    const split = splitHeads(b, x, count);
    return b.rope(headNorm ? headNorm(split, `${at}.self_attn.${norm}`) : split, positions, cos, sin);
  };
  const q_BHSd = turned(q, heads, 'q_norm');
  const k_BGSd = turned(k, keyValueHeads, 'k_norm');
  const o_BHSd = attend(q_BHSd, k_BGSd, splitHeads(b, v, keyValueHeads), scale);
  return weights.linear(joinHeads(b, o_BHSd), [project('o_proj', config.hiddenSize, biases.output)])[0];
}

const GATED: readonly string[] = ['gate_proj', 'up_proj', 'down_proj'];

/** down(act(gate(h)) * up(h)) with the projections under the prefix `at` (Shazeer, 2020). */
export function gatedFeedForward(
  b: Builder,
  weights: Weights,
  h: Value,
  at: string,
  width: number,
  { bias = false, activation = b.silu, names = GATED } = {},
): Value {
  const project = (name: string, out: number) => ({ name: `${at}.${name}`, out, bias });
  const [gate, up] = weights.linear(h, [project(names[0], width), project(names[1], width)]);
  return weights.linear(b.mul(activation(gate), up), [project(names[2], h.shape.at(-1) as number)])[0];
}
