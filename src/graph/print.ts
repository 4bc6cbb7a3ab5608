// A graph as text, one line a node, for snapshots and for reading.
import { showShape } from './dims.ts';
import type { Graph, Node, Value } from './node.ts';

/** e.g. `matmul_3 float32[B,S,8] = matmul(h, A) {transB: true}`; short names, in order. */
export function printGraph(graph: Graph): string {
  return [
    ...graph.inputs.map((value) => `input ${show(value)}`),
    ...graph.constants.map(({ value }) => `constant ${show(value)}`),
    ...graph.nodes.map(printNode),
    ...[...graph.outputs].map(([name, value]) => `output ${name} = ${value.name}`),
  ]
    .map((line) => `${line}\n`)
    .join('');
}

function show(value: Value): string {
  return `${value.name} ${value.dtype}${showShape(value.shape)}`;
}

function printNode(node: Node): string {
  const inputs = node.inputs.map((input) => input.name).join(', ');
  const attributes = Object.entries(node.attributes)
    .filter(([, value]) => value !== false)
    .map(([name, value]) => `${name}: ${showAttribute(value)}`);
  const tail = attributes.length > 0 ? ` {${attributes.join(', ')}}` : '';
  return `${node.outputs.map(show).join(', ')} = ${node.op}(${inputs})${tail}`;
}

function showAttribute(value: unknown): string {
  return JSON.stringify(value, (key, inner) =>
    key === 'q' || key === 'scale' ? (inner.name ?? inner) : inner,
  ).replaceAll('"', '');
}
