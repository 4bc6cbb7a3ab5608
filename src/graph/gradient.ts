// Derives the backward graph by one reverse walk; what each op's gradient is, its own record says.
import { CupelError } from '../base/errors.ts';
import type { Builder } from './builder.ts';
import type { Node, Value } from './node.ts';
import type { OpName, OpRecord } from './op.ts';
import { OPS } from './ops/table.ts';
import { type Again, onCopies, replay, type Segment, segmentsOf } from './recompute.ts';

/**
 * Adds nodes to `b` that compute the gradient of a scalar with respect to some values.
 * @param loss the scalar; @param wrt inputs, constants or results it depends on
 * @param options `recompute`: so many of the segments between the builder's checkpoints keep nothing; each is computed again
 *   when the walk comes to it
 * @returns one gradient for each of `wrt`, of its shape
 * @throws CupelError when the loss does not depend on a value, or an op on the way has no gradient
 */
export function gradients(b: Builder, loss: Value, wrt: readonly Value[], { recompute = 0 } = {}): readonly Value[] {
  const walk = new Walk(b, loss, wrt, recompute);
  return wrt.map((value) => {
    const total = walk.totals.get(value.name);
    if (!total) throw new CupelError(`the loss does not depend on ${value.name}`);
    return total;
  });
}

class Walk {
  readonly totals = new Map<string, Value>();
  readonly #b: Builder;
  readonly #moving: ReadonlySet<string>;
  #segment: Segment | undefined;
  #again: Again = new Map();
  /** Gradients that leave the segment other than through its start. */
  #leaving: Value[] = [];
  #inside: ReadonlySet<string> = new Set();

  constructor(b: Builder, loss: Value, wrt: readonly Value[], recompute: number) {
    const forward = [...b.nodes];
    const segments = segmentsOf(forward, b.checkpoints.slice(0, recompute + 1));
    this.#b = b;
    this.#moving = dependents(forward, wrt);
    this.totals.set(loss.name, b.offset(b.zerosLike(loss), 1));
    for (const node of forward.toReversed()) {
      const segment = segments.get(node);
      if (segment !== this.#segment) this.#enter(segment);
      this.#back(node);
    }
    this.#enter(undefined);
  }

  #back(node: Node): void {
    const dys = node.outputs.map((output) => this.totals.get(output.name) ?? null);
    if (dys.every((dy) => dy === null)) return;
    const needs = node.inputs.map((input) => this.#moving.has(input.name));
    if (!needs.some(Boolean)) return;
    const dxs = ruleOf(node)(this.#b, onCopies(node, this.#again), dys, needs);
    node.inputs.forEach((input, i) => {
      const dx = dxs[i];
      if (!needs[i] || !dx) return;
      const known = this.totals.get(input.name);
      this.totals.set(input.name, known ? this.#b.add(known, dx) : dx);
      if (this.#segment && !this.#inside.has(input.name)) this.#leaving.push(this.totals.get(input.name)!);
    });
  }

  /** Leaves one segment for another: what is left behind must be done before the walk goes on, or its copies would stay. */
  #enter(segment: Segment | undefined): void {
    const left = this.#segment?.start.name ?? '';
    const dStart = this.totals.get(left);
    if (dStart) this.totals.set(left, this.#b.after(dStart, this.#leaving));
    this.#segment = segment;
    this.#leaving = [];
    const dEnd = segment && this.totals.get(segment.end.name);
    this.#again = dEnd ? replay(this.#b, segment, dEnd) : new Map();
    const made = segment?.nodes.flatMap(({ outputs }) => outputs) ?? [];
    this.#inside = new Set([...made, ...(segment ? [segment.start] : [])].map(({ name }) => name));
  }
}

/** The names of the values that move when one of `wrt` does. */
function dependents(nodes: readonly Node[], wrt: readonly Value[]): ReadonlySet<string> {
  const moving = new Set(wrt.map((value) => value.name));
  for (const node of nodes) {
    if (!node.inputs.some((input) => moving.has(input.name))) continue;
    for (const output of node.outputs) if (output.dtype === 'float32') moving.add(output.name);
  }
  return moving;
}

function ruleOf(node: Node) {
  const { gradient } = OPS[node.op] as OpRecord<OpName>;
  if (!gradient)
    throw new CupelError(`${node.op} (${node.outputs[0].name}) has no gradient but the loss depends on it`);
  return gradient;
}
