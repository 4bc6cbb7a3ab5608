// Every model family against transformers: logits, loss and the gradient of every parameter on tiny random models.
import { describe, expect, it } from 'vitest';
import { readFixture } from './fixture.ts';
import { errorsOf, GRADIENT_FIXTURES, trainingGraph } from './gradient-graph.ts';

describe.each(GRADIENT_FIXTURES)('%s', (name) => {
  const fixture = readFixture(name);

  it('names every weight with its shape', () => {
    const { shapes } = trainingGraph(fixture);
    const expected = [...fixture.tensors].filter(([key]) => key.startsWith('weight/'));
    expect(Object.fromEntries(shapes)).toEqual(
      Object.fromEntries(expected.map(([key, { shape }]) => [key.slice('weight/'.length), shape])),
    );
  });

  it('computes logits, loss and every gradient as transformers does', async () => {
    const errors = await errorsOf(fixture);
    const weights = [...fixture.tensors.keys()].filter((key) => key.startsWith('weight/'));
    const gradients = [...errors.keys()].filter((key) => key.startsWith('gradient/'));
    expect(gradients.map((key) => key.slice('gradient/'.length)).sort()).toEqual(
      weights.map((key) => key.slice('weight/'.length)).sort(),
    );
    for (const [key, error] of errors) expect(error, key).toBeLessThan(1e-4);
  });
});
