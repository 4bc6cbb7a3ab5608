// Checks a finished graph before anything runs it: one assignment, no dangling names, types as the ops infer them.
import { CupelError } from '../base/errors.ts';
import { sameShape, showShape } from './dims.ts';
import type { Graph, Node, Value } from './node.ts';
import type { OpName, OpRecord } from './op.ts';
import { OPS } from './ops/table.ts';

/** @throws CupelError naming the first value or node that is wrong */
export function verify(graph: Graph): void {
  const known = new Map<string, Value>();
  const define = (value: Value) => {
    if (known.has(value.name)) throw new CupelError(`${value.name} is assigned twice`);
    known.set(value.name, value);
  };
  graph.inputs.forEach(define);
  for (const { value } of graph.constants) define(value);
  for (const node of graph.nodes) {
    for (const input of node.inputs) checkUse(input, known, `${node.op} ${node.outputs[0]?.name}`);
    checkTypes(node);
    node.outputs.forEach(define);
  }
  for (const [name, value] of graph.outputs) checkUse(value, known, `output ${name}`);
}

function checkUse(value: Value, known: ReadonlyMap<string, Value>, by: string): void {
  const definition = known.get(value.name);
  if (!definition) throw new CupelError(`${by} uses ${value.name}, which nothing before it makes`);
  if (!sameType(definition, value))
    throw new CupelError(`${by} uses ${show(value)}, which was made as ${show(definition)}`);
}

function checkTypes(node: Node): void {
  const record = OPS[node.op] as OpRecord<OpName>;
  const types = record.shape(node.inputs, node.attributes);
  const fit = types.length === node.outputs.length && types.every((type, i) => sameType(type, node.outputs[i]));
  if (!fit) throw new CupelError(`${node.op} makes ${node.outputs.map(show).join(', ')}, against its shape rule`);
}

function sameType(a: Omit<Value, 'name'>, b: Omit<Value, 'name'>): boolean {
  return a.dtype === b.dtype && sameShape(a.shape, b.shape);
}

function show(value: Value): string {
  return `${value.name} ${value.dtype}${showShape(value.shape)}`;
}
