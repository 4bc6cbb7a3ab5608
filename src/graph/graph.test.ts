// The builder, the walk that derives gradients, the verifier and the printer.
import { describe, expect, it } from 'vitest';
import { Builder } from './builder.ts';
import { broadcastShapes, timesDims } from './dims.ts';
import { gradients } from './gradient.ts';
import type { Graph } from './node.ts';
import { printGraph } from './print.ts';
import { verify } from './verify.ts';

function mlp() {
  const b = new Builder();
  const x = b.input('x', 'float32', ['T', 4]);
  const w = b.constant('w', 'float32', [3, 4], () => new Float32Array(12));
  const unused = b.constant('unused', 'float32', [1], () => new Float32Array(1));
  const a = b.input('a', 'float32', [3]);
  b.add(x, unused);
  const h = b.scope('layer', () => b.silu(b.mul(b.matmul(x, w, { transB: true }), a)));
  return { b, a, w, loss: b.reduceSum(h, [0, 1]) };
}

describe('builder', () => {
  it('leaves out what no output needs', () => {
    const { b, loss } = mlp();
    b.output('loss', loss);
    const graph = b.graph();
    expect(graph.constants.map(({ value }) => value.name)).toEqual(['w']);
    expect(graph.nodes.map(({ op }) => op)).toEqual(['matmul', 'mul', 'silu', 'reduceSum']);
  });

  it('refuses a name twice and shapes that do not fit', () => {
    const { b, a, w } = mlp();
    expect(() => b.input('x', 'float32', [])).toThrow('two values of the graph are called x');
    expect(() => b.matmul(w, w)).toThrow(/matmul\(w float32\[3,4\].*inner sizes/);
    expect(() => b.add(a, w)).toThrow('shapes [3] and [3,4] do not broadcast');
    expect(() => b.reshape(w, [5, 2])).toThrow('as many elements as [5,2]');
  });
});

describe('gradients', () => {
  it('is a readable graph without work for frozen weights', () => {
    const { b, a, loss } = mlp();
    b.output('loss', loss);
    b.output('da', gradients(b, loss, [a])[0]);
    const graph = b.graph();
    verify(graph);
    expect(printGraph(graph)).toMatchSnapshot();
  });

  it('says when the loss does not depend on a value, or an op has no gradient', () => {
    const { b, loss } = mlp();
    const lonely = b.input('lonely', 'float32', [3]);
    expect(() => gradients(b, loss, [lonely])).toThrow('does not depend on lonely');
    const largest = b.reduceSum(b.reduceMax(lonely, [0], true), [0]);
    expect(() => gradients(b, largest, [lonely])).toThrow('reduceMax');
  });
});

describe('verify', () => {
  const graphOf = (change: (graph: Graph) => Graph) => {
    const { b, loss } = mlp();
    b.output('loss', loss);
    return change(b.graph());
  };

  it('accepts what the builder makes', () => verify(graphOf((graph) => graph)));

  it.each<[string, (graph: Graph) => Graph]>([
    ['assigned twice', (g) => ({ ...g, nodes: [...g.nodes, g.nodes[0]] })],
    ['nothing before it makes', (g) => ({ ...g, nodes: g.nodes.toReversed() })],
    ['nothing before it makes', (g) => ({ ...g, constants: [] })],
    ['which was made as', (g) => ({ ...g, inputs: g.inputs.map((x) => ({ ...x, dtype: 'int64' })) })],
    [
      'against its shape rule',
      (g) => ({
        ...g,
        nodes: g.nodes.map((n, i) => (i === 3 ? { ...n, outputs: [{ ...n.outputs[0], shape: [7] }] } : n)),
      }),
    ],
  ])('refuses a value that is %s', (message, change) => {
    expect(() => verify(graphOf(change))).toThrow(message);
  });
});

describe('sizes', () => {
  it('multiplies symbols in one spelling', () => {
    expect(timesDims('S', 3, 'B')).toBe('3*B*S');
    expect(timesDims('3*S', 'B')).toBe(timesDims('B', 'S', 3));
    expect(timesDims(2, 3)).toBe(6);
    expect(timesDims(1, 'S')).toBe('S');
  });

  it('broadcasts as NumPy does', () => {
    expect(broadcastShapes(['B', 1, 4], ['S', 1])).toEqual(['B', 'S', 4]);
    expect(() => broadcastShapes(['B'], ['S'])).toThrow('do not broadcast');
  });
});
