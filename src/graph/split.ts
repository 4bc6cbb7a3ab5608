// Cuts a graph in two where a single value carries everything: what comes before can be computed once and kept.
import type { Graph, Node, Value } from './node.ts';

/**
 * The last value that does not move with `trained` and through which all that depends on `source` flows; null when there is
 * none but `source` itself. For a transformer whose first layers are frozen: the hidden states [.., D] after the last of them.
 */
export function frozenCut(graph: Graph, source: Value, trained: Value): Value | null {
  const derived = dependents(graph.nodes, source);
  const moving = dependents(graph.nodes, trained);
  const lastUse = new Map<string, number>();
  graph.nodes.forEach((node, at) => {
    for (const input of node.inputs) lastUse.set(input.name, at);
  });
  for (const value of graph.outputs.values()) lastUse.set(value.name, graph.nodes.length);
  const live = new Map<string, Value>([[source.name, source]]);
  let cut: Value | null = null;
  for (const [at, node] of graph.nodes.entries()) {
    const here = node.outputs.filter(({ name }) => derived.has(name));
    if (here.some(({ name }) => moving.has(name))) break;
    for (const output of here) live.set(output.name, output);
    for (const name of live.keys()) if ((lastUse.get(name) ?? 0) <= at) live.delete(name);
    if (here.length > 0 && live.size === 1) cut = [...live.values()][0];
  }
  return cut?.name === source.name ? null : cut;
}

function dependents(nodes: readonly Node[], source: Value): ReadonlySet<string> {
  const found = new Set([source.name]);
  for (const node of nodes) {
    if (node.inputs.some(({ name }) => found.has(name))) for (const { name } of node.outputs) found.add(name);
  }
  return found;
}

export interface SplitGraph {
  /** Makes the value, its only output, named `cut`. */
  readonly before: Graph;
  /** As the whole, with the value as an input of its own name. */
  readonly after: Graph;
}

export function splitGraph(graph: Graph, cut: Value): SplitGraph {
  return {
    before: needed(graph, new Map([['cut', cut]]), null),
    after: needed(graph, graph.outputs, cut),
  };
}

/** The graph without what its outputs do not need. */
export function pruned(graph: Graph): Graph {
  const inputs = graph.inputs;
  return { ...needed(graph, graph.outputs, null), inputs };
}

/** What `outputs` need of a graph, given one value as an input. */
function needed(graph: Graph, outputs: ReadonlyMap<string, Value>, given: Value | null): Graph {
  const wanted = new Set([...outputs.values()].map(({ name }) => name));
  const nodes: Node[] = [];
  for (const node of graph.nodes.toReversed()) {
    if (!node.outputs.some(({ name }) => wanted.has(name) && name !== given?.name)) continue;
    nodes.push(node);
    for (const { name } of node.inputs) wanted.add(name);
  }
  const inputs = graph.inputs.filter(({ name }) => wanted.has(name));
  return {
    inputs: given ? [...inputs, given] : inputs,
    constants: graph.constants.filter(({ value }) => wanted.has(value.name)),
    nodes: nodes.reverse(),
    outputs,
  };
}
