// Derives the backward graph by one reverse walk; what each op's gradient is, its own record says.
import { CupelError } from '../base/errors.ts';
import type { Builder } from './builder.ts';
import type { Node, Value } from './node.ts';
import type { OpName, OpRecord } from './op.ts';
import { OPS } from './ops/table.ts';

/**
 * Adds nodes to `b` that compute the gradient of a scalar with respect to some values.
 * @param loss the scalar; @param wrt inputs, constants or results it depends on
 * @returns one gradient for each of `wrt`, of its shape
 * @throws CupelError when the loss does not depend on a value, or an op on the way has no gradient
 */
export function gradients(b: Builder, loss: Value, wrt: readonly Value[]): readonly Value[] {
  const forward = [...b.nodes];
  const moving = dependents(forward, wrt);
  const totals = new Map<string, Value>();
  totals.set(loss.name, b.offset(b.zerosLike(loss), 1));
  for (const node of forward.toReversed()) {
    const dys = node.outputs.map((output) => totals.get(output.name) ?? null);
    if (dys.every((dy) => dy === null)) continue;
    const needs = node.inputs.map((input) => moving.has(input.name));
    if (!needs.some(Boolean)) continue;
    const dxs = ruleOf(node)(b, node, dys, needs);
    node.inputs.forEach((input, i) => {
      const dx = dxs[i];
      if (!needs[i] || !dx) return;
      const known = totals.get(input.name);
      totals.set(input.name, known ? b.add(known, dx) : dx);
    });
  }
  return wrt.map((value) => {
    const total = totals.get(value.name);
    if (!total) throw new CupelError(`the loss does not depend on ${value.name}`);
    return total;
  });
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
