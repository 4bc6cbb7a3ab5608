import { expect, test } from 'vitest';
import { assemble } from '../../scripts/wasm.ts';
import { Random } from '../base/random.ts';
import { whyNoBf16 } from '../runtime/bf16/library.ts';
import { AdamW } from './adamw.ts';
import { ALONE } from './crew.ts';
import { BLOCK, SIGNED, UNSIGNED } from './dynamic-code.ts';
import { CHUNK, chunksOf, type Job, NativeKernels, WasmKernels } from './kernels.ts';
import { KERNELS_WASM } from './kernels-wasm.ts';

const FACTORS = [1, 0.9, 0.1, 0.99, 0.01, 1e-3, 1, 1e-8, 1];

test('the module is what the text beside it assembles to', async () => {
  expect(KERNELS_WASM).toBe(await assemble());
});

test('an update over several chunks is that of each number alone, at any length', () => {
  const random = new Random(1);
  const size = 2 * CHUNK + 7;
  const weights = Float32Array.from({ length: size }, () => random.normal());
  const gradient = Float32Array.from({ length: size }, () => random.normal());
  const expected = [0, CHUNK - 1, CHUNK, size - 1].map((at) => {
    const [one, alone] = [weights.slice(at, at + 1), new AdamW(1)];
    for (let i = 0; i < 3; i++) alone.update(one, gradient.slice(at, at + 1), 1e-3, 0.5);
    return [at, one[0]];
  });
  const optimiser = new AdamW(size);
  for (let i = 0; i < 3; i++) optimiser.update(weights, gradient, 1e-3, 0.5);
  for (const [at, value] of expected) expect(weights[at]).toBe(value);
});

test('moments in 8 bits get the nearest codes, at any length', () => {
  const random = new Random(2);
  const codes = [SIGNED, UNSIGNED] as const;
  for (const size of [1, 255, 258, CHUNK + 3]) {
    // gradients of very different sizes, so that all codes occur
    const gradient = Float32Array.from({ length: size }, () => random.normal() * 10 ** (-6 * random.next()));
    const moment = (code: number) => ({
      codes: new Uint8Array(size).fill(codes[code].encode(0)),
      scales: new Float32Array(Math.ceil(size / BLOCK)),
    });
    const moments = [moment(0), moment(1)] as const;
    const [first, second] = moments;
    const arrays = [new Float32Array(size), gradient, first.codes, second.codes, first.scales, second.scales];
    ALONE.run({ kernel: 'adamw8bit', arrays, factors: FACTORS });
    const [m, v] = [gradient.map((g) => Math.fround(0.1) * g), gradient.map((g) => Math.fround(0.01) * g * g)];
    [m, v].forEach((values, i) => {
      values.forEach((value, at) => {
        const block = values.subarray(at - (at % BLOCK), Math.min(size, at - (at % BLOCK) + BLOCK));
        const largest = block.reduce((most, x) => Math.max(most, Math.abs(x)), 0);
        expect(Math.abs(moments[i].scales[Math.floor(at / BLOCK)] / largest - 1)).toBeLessThan(1e-6);
        // two rounded numbers may stand on two sides of a bound
        expect(Math.abs(moments[i].codes[at] - codes[i].encode(value / largest))).toBeLessThanOrEqual(1);
      });
    });
  }
});

test('numbers at every bound between two codes, and next to it, get the code that they are nearest to', () => {
  const word = new Int32Array(1);
  const float = new Float32Array(word.buffer);
  const beside = (x: number) =>
    [-1, 0, 1].map((step) => {
      float[0] = x;
      word[0] += step;
      return float[0];
    });
  const bounds = (code: typeof SIGNED) => [...code.bounds.subarray(0, 255), ...code.values].flatMap(beside);
  const all = [...bounds(SIGNED), ...bounds(UNSIGNED).map((x) => Math.sqrt(Math.max(0, x)))]
    .map(Math.fround)
    .filter((x) => Math.abs(x) <= 1);
  // each block has a 1, so that its scale is 1
  const gradient = Float32Array.from({ length: Math.ceil(all.length / 255) * BLOCK }, (_, i) =>
    i % BLOCK === 0 ? 1 : (all[i - 1 - Math.floor(i / BLOCK)] ?? 0),
  );
  const [weights, scales] = [new Float32Array(gradient.length), new Float32Array(gradient.length / BLOCK)];
  const moments = [SIGNED, UNSIGNED].map((code) => new Uint8Array(gradient.length).fill(code.encode(0)));
  const arrays = [weights, gradient, ...moments, scales, scales.slice()];
  ALONE.run({ kernel: 'adamw8bit', arrays, factors: [1, 0, 1, 0, 1, 1e-3, 1, 1e-8, 1] });
  gradient.forEach((g, i) => {
    expect(moments[0][i], `first of ${g}`).toBe(SIGNED.encode(g));
    expect(moments[1][i], `second of ${g}`).toBe(UNSIGNED.encode(Math.fround(g * g)));
  });
});

test('Lion moves each weight by the rate, the way its momentum and its gradient say', () => {
  const random = new Random(3);
  const size = CHUNK + 5;
  const draw = () => Float32Array.from({ length: size }, () => random.normal());
  const [weights, gradient, momentum] = [draw(), draw(), draw()];
  gradient[3] = 0;
  momentum[3] = 0;
  const before = { weights: weights.slice(), momentum: momentum.slice() };
  const factors = [0.5, 0.9, 0.1, 0.99, 0.01, 1e-3, 0.999];
  ALONE.run({ kernel: 'lion', arrays: [weights, gradient, momentum], factors });
  for (let i = 0; i < size; i++) {
    const g = 0.5 * gradient[i];
    const toward = 0.9 * before.momentum[i] + 0.1 * g;
    const moved = before.weights[i] * 0.999 - 1e-3 * Math.sign(toward);
    expect(Math.abs(weights[i] - moved), `weight ${i}`).toBeLessThan(1e-6);
    expect(Math.abs(momentum[i] - (0.99 * before.momentum[i] + 0.01 * g)), `momentum ${i}`).toBeLessThan(1e-6);
  }
});

test('gradients are added with their weights, at any length', () => {
  const random = new Random(4);
  const size = CHUNK + 3;
  const [sum, gradient] = [0, 0].map(() => Float32Array.from({ length: size }, () => random.normal()));
  const before = sum.slice();
  ALONE.run({ kernel: 'accumulate', arrays: [sum, gradient], factors: [0.25, 3] });
  for (let i = 0; i < size; i++) expect(Math.abs(sum[i] - (before[i] / 4 + 3 * gradient[i]))).toBeLessThan(1e-6);
});

test.skipIf(whyNoBf16())('with AVX-512 every kernel gives the bits that it gives in WebAssembly, at any length', () => {
  const random = new Random(5);
  for (const size of [1, 5, 250, 300, CHUNK, 2 * CHUNK + 777]) {
    const draw = () => Float32Array.from({ length: size }, () => random.normal() * 10 ** (-6 * random.next()));
    const blocks = Math.ceil(size / BLOCK);
    const codes = () => Uint8Array.from({ length: 4 * Math.ceil(size / 4) }, () => random.below(256));
    const scales = () => Float32Array.from({ length: blocks }, () => random.next());
    const positive = () => draw().map(Math.abs);
    const jobs: Job[] = [
      { kernel: 'adamw', arrays: [draw(), draw(), draw(), positive()], factors: FACTORS },
      { kernel: 'lion', arrays: [draw(), draw(), draw()], factors: [0.5, 0.9, 0.1, 0.99, 0.01, 1e-3, 0.999] },
      { kernel: 'adamw8bit', arrays: [draw(), draw(), codes(), codes(), scales(), scales()], factors: FACTORS },
      { kernel: 'accumulate', arrays: [draw(), draw()], factors: [0.3, 0.7] },
      { kernel: 'squares', arrays: [draw(), new Float64Array(Math.ceil(size / CHUNK))], factors: [] },
    ];
    for (const job of jobs) {
      const other = { ...job, arrays: job.arrays.map((array) => array.slice()) };
      const [native, wasm] = [new NativeKernels(), new WasmKernels()];
      for (const [from, to] of [
        [0, 1],
        [1, chunksOf(job)],
      ]) {
        native.run(job, from, to);
        wasm.run(other, from, to);
      }
      for (const [i, array] of job.arrays.entries())
        expect(
          Buffer.compare(Buffer.from(array.buffer), Buffer.from(other.arrays[i].buffer)),
          `${job.kernel} of ${size}, array ${i}`,
        ).toBe(0);
    }
  }
});
