// What an op is: one record with its shape rule, gradient rule, ONNX form and reference implementation.
import type { Builder } from './builder.ts';
import type { Dim, Node, Shape, Value, ValueType } from './node.ts';
import type { Doubles } from './tensor.ts';

type None = Record<never, never>;
/** A weight in int8: q [K,N] and a float32 scale [N] for each column. */
export interface Int8Weight {
  readonly q: Value;
  readonly scale: Value;
}

type Axes = { readonly axes: readonly number[]; readonly keep: boolean };

/** That a product may be computed in int8 by an engine that knows how: it alone, with it the gradient of a, or that of b too. */
export type Narrow = 'product' | 'inputs' | 'all';

/** The attributes of every op. Adding a line here makes the compiler ask for the record in `ops/table.ts`. */
export interface OpAttributes {
  // element by element, with broadcasting
  add: None;
  sub: None;
  mul: None;
  div: None;
  /** x * by */
  scale: { readonly by: number };
  /** x + by */
  offset: { readonly by: number };
  abs: None;
  exp: None;
  tanh: None;
  sigmoid: None;
  silu: None;
  siluGradient: None;
  geluTanh: None;
  geluTanhGradient: None;
  equal: None;
  lessOrEqual: None;
  and: None;
  or: None;
  not: None;
  /** (condition, a, b): a where the condition holds, b elsewhere */
  where: None;
  // sums over axes
  reduceSum: Axes;
  reduceMean: Axes;
  reduceMax: Axes;
  /** (x, ...): the sum of the squares of all their entries, [] */
  sumOfSquares: None;
  // arrangement
  reshape: { readonly shape: Shape };
  /** (x, like): x in the shape of like, which has as many elements */
  reshapeLike: None;
  transpose: { readonly order: readonly number[] };
  concat: { readonly axis: number };
  split: { readonly axis: number; readonly sizes: readonly number[] };
  slice: { readonly axis: number; readonly start: number; readonly size: number };
  /** Zeros before and after along one axis. */
  pad: { readonly axis: number; readonly before: number; readonly after: number };
  /** (x, like): x broadcast to the shape of like */
  expandLike: None;
  /** Zeros of the shape of x. */
  zerosLike: None;
  /** (x, others...): x, but not before the others are there; nothing of the others is kept */
  after: None;
  /** int64 0..n-1 for the size n of one axis of x. */
  iota: { readonly axis: number };
  cast: { readonly to: 'float32' | 'int64' };
  // products
  matmul: { readonly transA: boolean; readonly transB: boolean; readonly alpha: number; readonly narrow?: Narrow };
  /** (x, q, scale): x @ (q * scale) with int8 weights and a scale per row of x; see ops/int8.ts */
  int8MatMul: { readonly transposed: Int8Weight | Value | null };
  /** A matrix in int8, each row or column by its own largest number: q of the same shape up to `levels`, and the scales. */
  quantise: { readonly per: 'row' | 'column'; readonly levels: number };
  /**
   * (x rotated, x, weight [N,K], q, scale): the first @ (q * scale)^T, which are the rotated weight by row; the weight's gradient is
   * computed in int8 of `levels`, or in float32 where that is null; see ops/int8-linear.ts
   */
  int8Linear: { readonly levels: number | null };
  /**
   * (x [T,K], dy [T,N]): dy^T x [N,K] in int8 of `levels`, each column of both by a scale of its own; see ops/int8-outer.ts
   */
  int8Outer: { readonly levels: number };
  /**
   * (x, q [N,K] int4, scale [N,K/block]): x @ W^T, or x @ W where `transposed`, of W = q * scale in float32; `gradientScale` is a
   * constant of its own with the numbers of scale; see ops/int4.ts
   */
  int4MatMul: { readonly transposed: boolean; readonly gradientScale: Value | null };
  // normalisation and attention
  rmsNorm: { readonly epsilon: number };
  rmsNormGradient: { readonly epsilon: number };
  softmax: None;
  /** (softmax, its gradient) */
  softmaxGradient: None;
  /** (q [B,H,S,d], k [B,G,T,d], v [B,G,T,e], mask [B,1,S,T] added to the scores): result [B,H,S,e], probabilities [B,G,H/G*S,T] */
  attention: { readonly scale: number };
  /** (x [B,H,S,d], positions [B,S], cos [P,d/2], sin [P,d/2]) */
  rope: { readonly interleaved: boolean; readonly inverse: boolean };
  // tables
  /** (table [R,D], rows [...]): table rows, [...,D] */
  gather: None;
  /** (updates [...,D], rows [...], like [R,D]): zeros like `like` plus the updates at their rows */
  scatterAdd: None;
  // experts
  /** Where the `count` largest entries of each row stand, of equal ones the first: bool of the shape of x */
  topMask: { readonly count: number };
  /** (mask [N,E] with `perRow` true in each row): their rows [perRow*N] ordered by column, their places row * E + column, counts [E] */
  dispatch: { readonly perRow: number };
  /** (x [M,...], counts [E]): E parts of so many rows; `sizes` are their names as dimensions */
  partition: { readonly sizes: readonly Dim[] };
  /** (counts [E], E parts): the parts under one another, `total` rows */
  unite: { readonly total: Dim };
  // loss
  /** (logits [A,V], targets [A]): negative log likelihood [A], log probabilities [A,V] */
  crossEntropy: None;
  crossEntropyGradient: None;
  /**
   * (hidden [A,D], table [V,D], targets [A]): negative log likelihood, log of the sum of powers, and the largest log probability,
   * each [A], of the logits hidden @ table^T (capped: cap * tanh(x / cap)), `part` words at a time
   */
  linearCrossEntropy: { readonly part: number; readonly softCap: number | null };
  /** (hidden, table, targets, log of the sum [A], dLoss [A]): the gradient of hidden and, with `table`, of the table */
  linearCrossEntropyGradient: { readonly part: number; readonly softCap: number | null; readonly table: boolean };
}

export type OpName = keyof OpAttributes;

/** An attribute of an ONNX node. */
export type OnnxAttribute =
  | { readonly int: number }
  | { readonly float: number }
  | { readonly ints: readonly number[] }
  | { readonly string: string };

/** Where an op writes its ONNX form. Inputs and outputs are names; `''` leaves an optional one out. */
export type OnnxReader = 'onnxruntime' | 'openvino';

export interface OnnxWriter {
  /** Who reads the model: OpenVINO knows products with int8 weights as the standard's pairs of QuantizeLinear and DequantizeLinear. */
  readonly reader: OnnxReader;
  node(
    type: string,
    inputs: readonly string[],
    outputs: readonly string[],
    attributes?: Readonly<Record<string, OnnxAttribute>>,
    domain?: '' | 'com.microsoft',
  ): void;
  /** A fresh name for an intermediate result. */
  temporary(): string;
  /** Small constants, shared by value. `dims` defaults to a vector. */
  int64(values: readonly number[], dims?: readonly number[]): string;
  float32(values: readonly number[], dims?: readonly number[]): string;
  /** One number. */
  int8(value: number): string;
  /** Whether a value is known before the graph runs. */
  isConstant(value: Value): boolean;
}

/**
 * Returns the gradient of each input given that of each output (`null`: the output does not influence the loss).
 * `needs[i]` says whether input i's gradient is wanted; where it is not, `null` saves work.
 */
export type GradientRule<K extends OpName> = (
  b: Builder,
  node: Node<K>,
  outputGradients: readonly (Value | null)[],
  needs: readonly boolean[],
) => readonly (Value | null)[];

export interface OpRecord<K extends OpName> {
  /** Types of the outputs. @throws CupelError when the inputs do not fit */
  readonly shape: (inputs: readonly Value[], attributes: OpAttributes[K]) => readonly ValueType[];
  /** `null`: has none, by decision (integer ops, gradients of gradients). */
  readonly gradient: GradientRule<K> | null;
  readonly onnx: (node: Node<K>, writer: OnnxWriter) => void;
  /** Slow, readable and in double precision; the oracle of every other runtime. */
  readonly reference: (
    inputs: readonly Doubles[],
    attributes: OpAttributes[K],
    /** The sizes of a shape at this run. */
    sizes: (shape: Shape) => readonly number[],
  ) => readonly Doubles[];
}

export type OpTable = { readonly [K in OpName]: OpRecord<K> };
