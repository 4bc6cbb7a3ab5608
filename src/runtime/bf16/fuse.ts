// Several ops as one, where a kernel computes them together: what they make in between is never written to memory.
import { sameShape } from '../../graph/dims.ts';
import type { Graph, Node, Value } from '../../graph/node.ts';
import type { OpAttributes } from '../../graph/op.ts';

/** Ops that only these kernels have. */
export interface FusedAttributes {
  /** (gate, up): act(gate) * up */
  gated: { readonly activation: 'silu' | 'geluTanh' };
  /** (gate, up, dy): the gradients of gate and up */
  gatedGradient: { readonly activation: 'silu' | 'geluTanh' };
  /** (x [...,D], weight [D], inverse [...,1], dy): the gradients of a norm's x and weight, the latter the sum over all rows of x * inverse * dy */
  normGradients: Record<never, never>;
  /** (q, k, v, mask, result, dResult): the gradients of q, k and v; `of` is the name of the probabilities, which are computed again */
  attentionGradient: { readonly scale: number; readonly of: string };
  /** (x [R,D], updates [...,D], rows [...]): x plus each update at its row */
  scatterInto: Record<never, never>;
}

type AllAttributes = OpAttributes & FusedAttributes;

/** A node, or several that have become one. */
export interface Step<K extends keyof AllAttributes = keyof AllAttributes> {
  readonly op: K;
  readonly inputs: readonly Value[];
  readonly attributes: AllAttributes[K];
  readonly outputs: readonly Value[];
}

/** @param keeps whether an attention's scores fit the memory of a kernel that computes them again */
export function fuse(graph: Graph, keeps: (attention: Node<'attention'>) => boolean): readonly Step[] {
  const pattern = new Patterns(graph);
  for (const node of graph.nodes) {
    if (isA(node, 'siluGradient')) gatedGradient(pattern, node, 'silu');
    if (isA(node, 'geluTanhGradient')) gatedGradient(pattern, node, 'geluTanh');
    if (isA(node, 'reduceSum')) normGradients(pattern, node);
    if (isA(node, 'add')) scatterInto(pattern, node);
    if (isA(node, 'attention') && keeps(node)) attentionGradient(pattern, node);
  }
  for (const node of graph.nodes) {
    if (isA(node, 'silu')) gatedAlone(pattern, node, 'silu');
    if (isA(node, 'geluTanh')) gatedAlone(pattern, node, 'geluTanh');
  }
  return pattern.steps();
}

class Patterns {
  readonly #nodes: readonly Node[];
  readonly #users = new Map<string, Node[]>();
  readonly #makers = new Map<string, Node>();
  readonly #outputs: ReadonlySet<string>;
  /** What stands in a node's place. */
  readonly #instead = new Map<Node, readonly Step[]>();

  constructor({ nodes, outputs }: Graph) {
    this.#nodes = nodes;
    this.#outputs = new Set([...outputs.values()].map(({ name }) => name));
    for (const node of nodes) {
      for (const input of new Set(node.inputs.map(({ name }) => name)))
        this.#users.set(input, [...(this.#users.get(input) ?? []), node]);
      for (const output of node.outputs) this.#makers.set(output.name, node);
    }
  }

  steps(): readonly Step[] {
    return this.#nodes.flatMap((node) => this.#instead.get(node) ?? [node as Step]);
  }

  users({ name }: Value): readonly Node[] {
    return this.#outputs.has(name) ? [] : (this.#users.get(name) ?? []);
  }

  maker({ name }: Value): Node | undefined {
    return this.#makers.get(name);
  }

  /** The node that made a value which one other alone uses, if it is of this kind. */
  only<K extends Node['op']>(value: Value, op: K): Node<K> | undefined {
    const node = this.maker(value);
    return node && isA(node, op) && this.users(value).length === 1 && !this.#instead.has(node) ? node : undefined;
  }

  isTaken(node: Node): boolean {
    return this.#instead.has(node);
  }

  /** Puts one step in place of nodes, where the first of them stands, and others where single ones stand. */
  replace(nodes: readonly Node[], step: Step): void {
    const [first, ...rest] = this.#nodes.filter((node) => nodes.includes(node));
    this.#instead.set(first, [step]);
    for (const node of rest) this.#instead.set(node, []);
  }

  /** Leaves out a node that only these use. */
  dropUnlessUsed(node: Node | undefined, by: readonly Node[]): void {
    if (node && this.users(node.outputs[0]).every((user) => by.includes(user))) this.#instead.set(node, []);
  }
}

function isA<K extends Node['op']>(node: Node, op: K): node is Node<K> {
  return node.op === (op as Node['op']);
}

/** The other one of two inputs. */
function other({ inputs: [a, b] }: Node, value: Value): Value {
  return a.name === value.name ? b : a;
}

function gatedGradient(pattern: Patterns, slope: Node, activation: 'silu' | 'geluTanh'): void {
  const [gate, weighed] = slope.inputs;
  const inner = pattern.only(weighed, 'mul');
  const act = pattern.users(gate).find((node) => node.op === activation);
  if (!inner || !act || pattern.isTaken(act)) return;
  const products = pattern.users(act.outputs[0]);
  if (products.length !== 2 || !products.every((node) => node.op === 'mul')) return;
  const [forward, backward] = products;
  const [up, dy] = products.map((node) => other(node, act.outputs[0]));
  const same = inner.inputs.every(({ name }) => name === up.name || name === dy.name);
  if (!same || up.name === dy.name || ![up, dy].every(({ shape }) => sameShape(shape, gate.shape))) return;
  pattern.replace([act, forward], {
    op: 'gated',
    inputs: [gate, up],
    attributes: { activation },
    outputs: forward.outputs,
  });
  pattern.replace([inner, backward, slope], {
    op: 'gatedGradient',
    inputs: [gate, up, dy],
    attributes: { activation },
    outputs: [...slope.outputs, ...backward.outputs],
  });
}

function gatedAlone(pattern: Patterns, act: Node, activation: 'silu' | 'geluTanh'): void {
  const [product, ...others] = pattern.users(act.outputs[0]);
  if (pattern.isTaken(act) || product?.op !== 'mul' || others.length > 0 || pattern.isTaken(product)) return;
  const [gate, up] = [act.inputs[0], other(product, act.outputs[0])];
  if (!sameShape(gate.shape, up.shape) || up.name === act.outputs[0].name) return;
  // where the product stands: up may come after the activation
  pattern.replace([product], { op: 'gated', inputs: [gate, up], attributes: { activation }, outputs: product.outputs });
  pattern.dropUnlessUsed(act, [product]);
}

function normGradients(pattern: Patterns, sum: Node<'reduceSum'>): void {
  const [weighed] = sum.inputs;
  const rank = weighed.shape.length;
  if (sum.attributes.axes.length !== rank - 1 || sum.attributes.axes.includes(rank - 1)) return;
  const outer = pattern.only(weighed, 'mul');
  const scaled = outer?.inputs.find((input) => pattern.only(input, 'mul'));
  const inner = scaled && pattern.only(scaled, 'mul');
  if (!outer || !inner) return;
  const [x, inverse] = inner.inputs;
  const norm = pattern.maker(inverse);
  if (norm?.op !== 'rmsNorm' || norm.inputs[0].name !== x.name) return;
  const dy = other(outer, scaled);
  const gradient = pattern
    .users(inverse)
    .find((node) => isA(node, 'rmsNormGradient') && node.inputs[3].name === dy.name);
  if (!gradient || gradient.inputs[0].name !== x.name || pattern.isTaken(gradient)) return;
  pattern.replace([gradient, sum], {
    op: 'normGradients',
    inputs: gradient.inputs,
    attributes: {},
    outputs: [...gradient.outputs, ...sum.outputs],
  });
  pattern.dropUnlessUsed(outer, [sum]);
  pattern.dropUnlessUsed(inner, [outer]);
}

function scatterInto(pattern: Patterns, sum: Node<'add'>): void {
  const [a, b] = sum.inputs;
  const scattered = pattern.only(b, 'scatterAdd') ?? pattern.only(a, 'scatterAdd');
  if (!scattered || !sameShape(a.shape, b.shape)) return;
  const [updates, rows] = scattered.inputs;
  const inputs = [other(sum, scattered.outputs[0]), updates, rows];
  pattern.replace([sum], { op: 'scatterInto', inputs, attributes: {}, outputs: sum.outputs });
  pattern.dropUnlessUsed(scattered, [sum]);
}

function attentionGradient(pattern: Patterns, node: Node<'attention'>): void {
  const [q, k, v, mask] = node.inputs;
  const [o, p] = node.outputs;
  const products = pattern.users(p);
  const values = products.find(
    (user) => isA(user, 'matmul') && user.attributes.transA && user.inputs[0].name === p.name,
  );
  const scores = products.find((user) => user.op === 'mul' && user.inputs[0].name === p.name);
  const centred = scores && pattern.only(scores.inputs[1], 'sub');
  if (products.length !== 2 || !values || !scores || !centred) return;
  const dOut = values.inputs[1];
  const slopes = pattern.only(centred.inputs[0], 'matmul');
  const sums = pattern.only(centred.inputs[1], 'reduceSum');
  const weighed = sums && pattern.only(sums.inputs[0], 'mul');
  const [dq, dk, ...more] = pattern.users(scores.outputs[0]);
  const whole =
    slopes?.inputs[0].name === dOut.name && slopes.inputs[1].name === v.name && weighed?.inputs[0].name === dOut.name;
  if (!whole || !slopes || !sums || !weighed || more.length > 0) return;
  if (!dq || !dk || !isA(dq, 'matmul') || !isA(dk, 'matmul') || dq.inputs[1].name !== k.name || !dk.attributes.transA)
    return;
  const [heads, ...others] = pattern.users(dq.outputs[0]);
  if (heads?.op !== 'reshape' || others.length > 0 || !sameShape(heads.outputs[0].shape, q.shape)) return;
  const parts = [values, slopes, weighed, sums, centred, scores, dq, dk, heads];
  const grouped = pattern.maker(dOut);
  const { scale } = node.attributes;
  pattern.replace(parts, {
    op: 'attentionGradient',
    inputs: [q, k, v, mask, o, grouped?.op === 'reshape' ? grouped.inputs[0] : dOut],
    attributes: { scale, of: p.name },
    outputs: [...heads.outputs, ...dk.outputs, ...values.outputs],
  });
  if (grouped?.op === 'reshape') pattern.dropUnlessUsed(grouped, parts);
  for (const view of [weighed.inputs[1], dk.inputs[1]]) {
    const reshape = pattern.maker(view);
    if (reshape?.op === 'reshape') pattern.dropUnlessUsed(reshape, parts);
  }
}
