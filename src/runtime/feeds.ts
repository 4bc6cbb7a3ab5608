// Checks what is fed to a graph, and finds the sizes that its symbols stand for at this run.
import { CupelError } from '../base/errors.ts';
import { showShape } from '../graph/dims.ts';
import type { Graph, Shape, Value } from '../graph/node.ts';
import { type Tensor, zeros } from '../graph/tensor.ts';
import type { Tensors } from './session.ts';

/** @returns the size of each symbol; @throws CupelError naming the input that is missing or does not fit */
export function bindSymbols(inputs: readonly Value[], feeds: Tensors): ReadonlyMap<string, number> {
  const symbols = new Map<string, number>();
  for (const input of inputs) {
    const feed = feeds[input.name];
    if (!feed) throw new CupelError('an input of the graph is missing', { place: { field: input.name } });
    const fits = feed.dtype === input.dtype && feed.shape.length === input.shape.length;
    if (!fits || !input.shape.every((dim, axis) => bind(symbols, dim, feed.shape[axis]))) {
      const expected = `${input.dtype}${showShape(input.shape)}`;
      throw new CupelError(`expected ${expected}, got ${feed.dtype}${showShape(feed.shape)}`, {
        place: { field: input.name },
      });
    }
  }
  return symbols;
}

function bind(symbols: Map<string, number>, dim: number | string, size: number): boolean {
  if (typeof dim === 'number') return dim === size;
  const known = symbols.get(dim);
  if (known === undefined) symbols.set(dim, size);
  return known === undefined || known === size;
}

/** A shape in numbers; a size like `3*B*S` is the product of its parts. */
export function sizesOf(shape: Shape, symbols: ReadonlyMap<string, number>): readonly number[] {
  return shape.map((dim) => {
    if (typeof dim === 'number') return dim;
    return dim.split('*').reduce((product, part) => {
      const size = symbols.get(part) ?? Number(part);
      if (Number.isNaN(size)) throw new CupelError(`no input of the graph gives the size ${part}`);
      return product * size;
    }, 1);
  });
}

/** A tensor for each output of the graph: the one it shall be written into, or a fresh one. @throws CupelError as `bindSymbols` */
export function resultsFor(graph: Graph, feeds: Tensors, into: Tensors = {}): (readonly [name: string, Tensor])[] {
  const symbols = bindSymbols(graph.inputs, feeds);
  return [...graph.outputs].map(([name, { dtype, shape }]) => [
    name,
    into[name] ?? zeros(dtype, sizesOf(shape, symbols)),
  ]);
}
