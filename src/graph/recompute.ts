// Computing parts of the forward pass again in the backward pass, so that only the values between the parts are kept.
import type { Builder } from './builder.ts';
import type { Node, Value } from './node.ts';

/** The nodes between two checkpoints, the one that makes `end` included. */
export interface Segment {
  readonly start: Value;
  readonly end: Value;
  readonly nodes: readonly Node[];
}

/** The segment of each node that stands in one. */
export function segmentsOf(nodes: readonly Node[], checkpoints: readonly Value[]): ReadonlyMap<Node, Segment> {
  const places = checkpoints.map(({ name }) => nodes.findIndex(({ outputs }) => outputs.some((o) => o.name === name)));
  const found = new Map<Node, Segment>();
  for (let i = 1; i < checkpoints.length; i++) {
    const part = nodes.slice(places[i - 1] + 1, places[i] + 1);
    const segment = { start: checkpoints[i - 1], end: checkpoints[i], nodes: part };
    for (const node of part) found.set(node, segment);
  }
  return found;
}

/** The values of a segment, computed again: by the names of the first ones. */
export type Again = ReadonlyMap<string, Value>;

/**
 * Adds copies of the nodes that depend on the start of the segment, to run only when the gradient `dEnd` of its end is there
 * (Chen et al., 2016: training deep nets with sublinear memory cost).
 */
export function replay(b: Builder, { start, nodes }: Segment, dEnd: Value): Again {
  const again = new Map<string, Value>([[start.name, b.after(start, [dEnd])]]);
  b.scope('again', () => {
    for (const node of nodes) {
      if (!node.inputs.some(({ name }) => again.has(name))) continue;
      const copies = b.emit(
        node.op,
        node.inputs.map((input) => again.get(input.name) ?? input),
        node.attributes,
      );
      node.outputs.forEach((output, i) => {
        again.set(output.name, copies[i]);
      });
    }
  });
  return again;
}

/** The node as if it had worked on the values computed again. */
export function onCopies(node: Node, again: Again): Node {
  const copy = (value: Value) => again.get(value.name) ?? value;
  return { ...node, inputs: node.inputs.map(copy), outputs: node.outputs.map(copy) } as Node;
}
