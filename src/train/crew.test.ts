import { afterAll, beforeAll, expect, test, vi } from 'vitest';
import { Random } from '../base/random.ts';
import { ALONE, Crew } from './crew.ts';
import { CHUNK } from './kernels.ts';
import { globalNorm, makeOptimiser, OPTIMISERS } from './optimiser.ts';

const crew = new Crew(3, 64);
const all = () => ({ kernel: 'squares', arrays: [gradients[0], new Float64Array(81)], factors: [] }) as const;
// they start with the first job, and take some time
beforeAll(() => vi.waitFor(() => expect(crew.run(all())).toBe(3), { timeout: 20_000, interval: 100 }), 30_000);
afterAll(() => crew.close());

/** Enough for others to take part, and not a whole number of chunks. */
const SIZE = 80 * CHUNK + 301;

function draw(seed: number): Float32Array {
  const random = new Random(seed);
  return Float32Array.from({ length: SIZE }, () => random.normal());
}

const gradients = [draw(1), draw(2), draw(3)];

test.each(OPTIMISERS)('with helpers %s moves weights to the same bits', (name) => {
  const [together, alone] = [crew, ALONE].map((threads) => ({ weights: draw(4), threads }));
  for (const { weights, threads } of [together, alone]) {
    const optimiser = makeOptimiser(name, SIZE, threads);
    for (const gradient of gradients) optimiser.update(weights, gradient, 1e-3, globalNorm(gradient, threads));
  }
  expect(Buffer.compare(Buffer.from(together.weights.buffer), Buffer.from(alone.weights.buffer))).toBe(0);
});

test('a small job is done by the one who asks', () => {
  expect(crew.run({ kernel: 'squares', arrays: [new Float32Array(9), new Float64Array(1)], factors: [] })).toBe(1);
});

test('the norm is that of all numbers, and not a number where one is none', () => {
  const [gradient] = gradients;
  const expected = Math.sqrt(gradient.reduce((sum, x) => sum + x * x, 0));
  for (const threads of [crew, ALONE]) {
    expect(Math.abs(globalNorm(gradient, threads) / expected - 1)).toBeLessThan(1e-12);
    expect(globalNorm(Float32Array.of(3, 4), threads)).toBe(5);
    expect(globalNorm(new Float32Array(0), threads)).toBe(0);
    const broken = gradient.with(SIZE - 1, Number.NaN);
    expect(globalNorm(broken, threads)).toBeNaN();
  }
});
