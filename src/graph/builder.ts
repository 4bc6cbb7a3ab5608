// Builds a graph node by node: one method per op, shapes inferred as it goes.
import { CupelError } from '../base/errors.ts';
import type { Constant, Dim, DType, Graph, Node, Shape, TensorData, Value } from './node.ts';
import type { Int8Weight, OpAttributes, OpName, OpRecord } from './op.ts';
import { OPS } from './ops/table.ts';

const NONE = {};

/** Collects inputs, constants, nodes and outputs. Every method that takes values returns new ones; nothing is ever changed. */
export class Builder {
  readonly nodes: Node[] = [];
  /** Values in order, between which a backward pass may compute again what it needs; see `gradients`. */
  readonly checkpoints: Value[] = [];
  readonly #inputs: Value[] = [];
  readonly #constants = new Map<string, Constant>();
  readonly #outputs = new Map<string, Value>();
  readonly #names = new Set<string>();
  #scope = '';
  #count = 0;

  /** A value fed at each run. */
  input(name: string, dtype: DType, shape: Shape): Value {
    const value = { name: this.#claim(name), dtype, shape };
    this.#inputs.push(value);
    return value;
  }

  /** A value known now; `read` gives its data when a runtime needs it. Asking again for the same name returns the first. */
  constant(name: string, dtype: DType, shape: readonly number[], read: () => TensorData): Value {
    const known = this.#constants.get(name);
    if (known) return known.value;
    const value = { name: this.#claim(name), dtype, shape };
    this.#constants.set(name, { value, read });
    return value;
  }

  /** Makes a value visible outside under a name. */
  output(name: string, value: Value): void {
    if (this.#outputs.has(name)) throw new CupelError(`the graph already has an output ${name}`);
    this.#outputs.set(name, value);
  }

  /** Prefixes the names of the values made inside, e.g. `layers.3`; scopes nest. For reading prints and profiles only. */
  scope<T>(name: string, body: () => T): T {
    const outer = this.#scope;
    this.#scope = outer ? `${outer}.${name}` : name;
    try {
      return body();
    } finally {
      this.#scope = outer;
    }
  }

  /** The graph so far, without the nodes and constants that no output needs. */
  graph(): Graph {
    const wanted = new Set([...this.#outputs.values()].map((value) => value.name));
    const nodes: Node[] = [];
    for (const node of this.nodes.toReversed()) {
      if (!node.outputs.some((output) => wanted.has(output.name))) continue;
      nodes.push(node);
      for (const input of node.inputs) wanted.add(input.name);
    }
    return {
      inputs: [...this.#inputs],
      constants: [...this.#constants.values()].filter(({ value }) => wanted.has(value.name)),
      nodes: nodes.reverse(),
      outputs: new Map(this.#outputs),
    };
  }

  /** Applies any op; the named methods below read better. @throws CupelError when shapes or dtypes do not fit */
  emit<K extends OpName>(op: K, inputs: readonly Value[], attributes: OpAttributes[K]): readonly Value[] {
    const record = OPS[op] as OpRecord<K>;
    const stem = `${this.#scope ? `${this.#scope}.` : ''}${op}`;
    const types = record.shape(inputs, attributes);
    const id = this.#count++;
    const outputs = types.map((type, i) => ({
      ...type,
      name: this.#claim(types.length > 1 ? `${stem}_${id}.${i}` : `${stem}_${id}`),
    }));
    this.nodes.push({ op, inputs, attributes, outputs } as unknown as Node);
    return outputs;
  }

  // Element by element; shapes broadcast as in NumPy.
  add = (a: Value, b: Value) => this.#one('add', [a, b], NONE);
  sub = (a: Value, b: Value) => this.#one('sub', [a, b], NONE);
  mul = (a: Value, b: Value) => this.#one('mul', [a, b], NONE);
  div = (a: Value, b: Value) => this.#one('div', [a, b], NONE);
  scale = (x: Value, by: number) => (by === 1 ? x : this.#one('scale', [x], { by }));
  offset = (x: Value, by: number) => this.#one('offset', [x], { by });
  abs = (x: Value) => this.#one('abs', [x], NONE);
  exp = (x: Value) => this.#one('exp', [x], NONE);
  tanh = (x: Value) => this.#one('tanh', [x], NONE);
  sigmoid = (x: Value) => this.#one('sigmoid', [x], NONE);
  silu = (x: Value) => this.#one('silu', [x], NONE);
  geluTanh = (x: Value) => this.#one('geluTanh', [x], NONE);
  equal = (a: Value, b: Value) => this.#one('equal', [a, b], NONE);
  lessOrEqual = (a: Value, b: Value) => this.#one('lessOrEqual', [a, b], NONE);
  and = (a: Value, b: Value) => this.#one('and', [a, b], NONE);
  or = (a: Value, b: Value) => this.#one('or', [a, b], NONE);
  not = (a: Value) => this.#one('not', [a], NONE);
  where = (condition: Value, a: Value, b: Value) => this.#one('where', [condition, a, b], NONE);

  reduceSum = (x: Value, axes: readonly number[], keep = false) => this.#one('reduceSum', [x], { axes, keep });
  reduceMean = (x: Value, axes: readonly number[], keep = false) => this.#one('reduceMean', [x], { axes, keep });
  reduceMax = (x: Value, axes: readonly number[], keep = false) => this.#one('reduceMax', [x], { axes, keep });

  sumOfSquares = (parts: readonly Value[]) => this.#one('sumOfSquares', parts, NONE);

  reshape = (x: Value, shape: readonly Dim[]) => this.#one('reshape', [x], { shape });
  /** For shapes with two unknown sizes. */
  reshapeLike = (x: Value, like: Value) => this.#one('reshapeLike', [x, like], NONE);
  transpose = (x: Value, order: readonly number[]): Value =>
    onlyMovesOnes(x.shape, order)
      ? this.reshape(
          x,
          order.map((axis) => x.shape[axis]),
        )
      : this.#one('transpose', [x], { order });
  concat = (parts: readonly Value[], axis: number) =>
    parts.length === 1 ? parts[0] : this.#one('concat', parts, { axis });
  split = (x: Value, axis: number, sizes: readonly number[]) =>
    sizes.length === 1 ? [x] : this.emit('split', [x], { axis, sizes });
  slice = (x: Value, axis: number, start: number, size: number) => this.#one('slice', [x], { axis, start, size });
  pad = (x: Value, axis: number, before: number, after: number) => this.#one('pad', [x], { axis, before, after });
  expandLike = (x: Value, like: Value) => this.#one('expandLike', [x, like], NONE);
  zerosLike = (x: Value) => this.#one('zerosLike', [x], NONE);
  /** x, but not before the others (float32, not scalars) are there: tells the runtime the order. */
  after = (x: Value, others: readonly Value[]) => (others.length === 0 ? x : this.#one('after', [x, ...others], NONE));
  iota = (x: Value, axis: number) => this.#one('iota', [x], { axis });
  cast = (x: Value, to: 'float32' | 'int64') => this.#one('cast', [x], { to });

  /** alpha * A @ B over the last two axes, either transposed; leading axes broadcast. */
  matmul = (
    a: Value,
    b: Value,
    { transA = false, transB = false, alpha = 1, narrow }: Partial<OpAttributes['matmul']> = {},
  ) => this.#one('matmul', [a, b], { transA, transB, alpha, ...(narrow ? { narrow } : {}) });
  /** x [...,K] @ (q [K,N] * scale [N]) in int8; `transposed` (q [N,K], scale [K]) serves the gradient of x. */
  /** x [...,K] @ q [K,N]. `of`, where x is a rotation of it, gets the gradient in its place: `transposed` is then of the weight as it was. */
  int8MatMul = (x: Value, weight: Int8Weight, transposed: Int8Weight | Value | null, of?: Value) =>
    this.#one('int8MatMul', [x, weight.q, weight.scale, ...(of ? [of] : [])], { transposed });
  /** dy^T x [N,K] of x [T,K] and dy [T,N] in int8, each column of both with a scale of its own. */
  int8Outer = (x: Value, dy: Value, levels: number) => this.#one('int8Outer', [x, dy], { levels });
  /** x [M,K] in int8: q [M,K] up to `levels`, and a scale for each row or column. */
  quantise = (x: Value, per: 'row' | 'column', levels: number) => this.emit('quantise', [x], { per, levels });
  /**
   * x [...,K] @ weight [N,K]^T in int8, for a weight that is trained: `turned` is x, and `quantised` the weight by row, under the same
   * rotation; `levels` of the gradient's product, or null: in float32.
   */
  int8Linear = (turned: Value, x: Value, weight: Value, quantised: readonly Value[], levels: number | null) =>
    this.#one('int8Linear', [turned, x, weight, ...quantised], { levels });
  /** x [...,K] @ W^T of W = q [N,K] in int4 times scale [N,K/block]; `gradientScale`, equal to it, serves the gradient of x. */
  int4MatMul = (x: Value, q: Value, scale: Value, gradientScale: Value | null) =>
    this.#one('int4MatMul', [x, q, scale], { transposed: false, gradientScale });

  /** x / rms(x) * weight over the last axis (Zhang and Sennrich, 2019). */
  rmsNorm = (x: Value, weight: Value, epsilon: number) => this.emit('rmsNorm', [x, weight], { epsilon })[0];
  /** Over the last axis. */
  softmax = (x: Value) => this.#one('softmax', [x], NONE);
  /** Rotary position embedding of x [B,H,S,d] (Su et al., 2021); cos and sin are [P,d/2]. */
  rope = (x: Value, positions: Value, cos: Value, sin: Value, interleaved = false) =>
    this.#one('rope', [x, positions, cos, sin], { interleaved, inverse: false });
  /** Attention with grouped key/value heads (Ainslie et al., 2023): q [B,H,S,d], k and v [B,G,T,*], mask [B,1,S,T] added. */
  attention = (q: Value, k: Value, v: Value, mask: Value, scale: number) =>
    this.emit('attention', [q, k, v, mask], { scale })[0];
  /** Rows of table [R,D]: [...rows, D]. */
  gather = (table: Value, rows: Value) => this.#one('gather', [table, rows], NONE);
  /** (updates [...,D], rows [...]): zeros like `like` [R,D] plus the updates at their rows. */
  scatterAdd = (updates: Value, rows: Value, like: Value) => this.#one('scatterAdd', [updates, rows, like], NONE);
  /** Where the `count` largest entries of each row stand. */
  topMask = (x: Value, count: number) => this.#one('topMask', [x], { count });
  /** The true places of mask [N,E], `perRow` in each row, ordered by column: rows, places row * E + column, counts [E]. */
  dispatch = (mask: Value, perRow: number) => this.emit('dispatch', [mask], { perRow });
  /** Rows of x [M,...] in parts of so many rows as `counts` [E] says when the graph runs. */
  partition = (x: Value, counts: Value, sizes: readonly Dim[]) => this.emit('partition', [x, counts], { sizes });
  /** Parts under one another again. */
  unite = (counts: Value, parts: readonly Value[], total: Dim) => this.#one('unite', [counts, ...parts], { total });
  /** -log softmax(logits)[target] for each row of logits [A,V] with targets [A]. */
  crossEntropy = (logits: Value, targets: Value) => this.emit('crossEntropy', [logits, targets], NONE)[0];

  /** `crossEntropy` of hidden [A,D] @ table [V,D]^T, `part` words at a time: its loss [A] and the largest log probabilities [A]. */
  linearCrossEntropy = (hidden: Value, table: Value, targets: Value, part: number, softCap: number | null = null) => {
    const [loss, , best] = this.emit('linearCrossEntropy', [hidden, table, targets], { part, softCap });
    return { loss, best };
  };

  #one<K extends OpName>(op: K, inputs: readonly Value[], attributes: OpAttributes[K]): Value {
    return this.emit(op, inputs, attributes)[0];
  }

  #claim(name: string): string {
    if (this.#names.has(name)) throw new CupelError(`two values of the graph are called ${name}`);
    this.#names.add(name);
    return name;
  }
}

/**
 * True where the axes of more than one entry keep their order, so that nothing moves in memory. ONNX Runtime 1.30 pushes such
 * transpositions through its optimiser into a gather out of bounds (one row, one key/value head).
 */
function onlyMovesOnes(shape: Shape, order: readonly number[]): boolean {
  const wide = order.filter((axis) => shape[axis] !== 1);
  return shape.every((dim) => typeof dim === 'number') && wide.every((axis, i) => i === 0 || axis > wide[i - 1]);
}
