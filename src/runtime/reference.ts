// Runs a graph op by op in double precision: slow, readable, and the oracle of the other runtimes.
import type { Graph, Node, Shape } from '../graph/node.ts';
import type { OpName, OpRecord } from '../graph/op.ts';
import { OPS } from '../graph/ops/table.ts';
import { type Doubles, fromDoubles, toDoubles } from '../graph/tensor.ts';
import { verify } from '../graph/verify.ts';
import { bindSymbols, sizesOf } from './feeds.ts';
import type { Session, Tensors } from './session.ts';

/** @throws CupelError when the graph is not well formed */
export function openReference(graph: Graph): Session {
  verify(graph);
  return {
    run: async (feeds, into = {}) => {
      const results = interpret(graph, feeds);
      const outputs: Record<string, Tensors[string]> = {};
      for (const [name, value] of graph.outputs) {
        const output = fromDoubles(results.get(value.name)!, value.dtype);
        into[name]?.data.set(output.data as never);
        outputs[name] = into[name] ?? output;
      }
      return outputs;
    },
    close: async () => {},
  };
}

/** Every value of the graph, in double precision. */
export function interpret(graph: Graph, feeds: Tensors): ReadonlyMap<string, Doubles> {
  const symbols = new Map(bindSymbols(graph.inputs, feeds));
  const values = new Map<string, Doubles>();
  for (const { name } of graph.inputs) values.set(name, toDoubles(feeds[name]));
  for (const { value, read } of graph.constants)
    values.set(value.name, toDoubles({ dtype: value.dtype, shape: value.shape, data: read() }));
  for (const node of graph.nodes) applyOp(node, values, symbols);
  return values;
}

function applyOp(node: Node, values: Map<string, Doubles>, symbols: Map<string, number>): void {
  const { reference } = OPS[node.op] as OpRecord<OpName>;
  const inputs = node.inputs.map((input) => values.get(input.name)!);
  const outputs = reference(inputs, node.attributes, (shape) => sizesOf(shape, symbols));
  node.outputs.forEach((output, i) => {
    values.set(output.name, outputs[i]);
    bindResult(output.shape, outputs[i].shape, symbols);
  });
}

/** Sizes that only the run itself tells, such as how many rows an expert gets. */
function bindResult(shape: Shape, sizes: readonly number[], symbols: Map<string, number>): void {
  shape.forEach((dim, axis) => {
    if (typeof dim === 'string' && !dim.includes('*') && !symbols.has(dim)) symbols.set(dim, sizes[axis]);
  });
}
