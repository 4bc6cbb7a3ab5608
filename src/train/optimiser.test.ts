import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { AdamW } from './adamw.ts';
import { AdamW8bit } from './adamw-8bit.ts';
import { dynamicCode } from './dynamic-code.ts';
import { Lion } from './lion.ts';
import { globalNorm, makeOptimiser, OPTIMISERS, STATE_BYTES } from './optimiser.ts';
import { learningRate } from './schedule.ts';

type Name = (typeof OPTIMISERS)[number];
interface Reference extends Record<Name | 'start' | 'signedCode' | 'unsignedCode', number[]> {
  rate: number;
  weightDecay: number;
  gradients: number[][];
}
const reference: Reference = JSON.parse(
  readFileSync(new URL('../../test/reference/optimisers.json', import.meta.url), 'utf8'),
);
const MAKERS = { adamw: AdamW, adamw8bit: AdamW8bit, lion: Lion };

test.each(OPTIMISERS)('%s makes the steps of the reference (torch, or the formulas of its paper)', (name) => {
  const { rate, weightDecay, gradients, start } = reference;
  const weights = Float32Array.from(start);
  const optimiser = new MAKERS[name](weights.length, { weightDecay });
  for (const gradient of gradients) optimiser.update(weights, Float32Array.from(gradient), rate, 0);
  const worst = reference[name].map((value, i) => Math.abs(weights[i] - value)).toSorted((a, b) => b - a);
  // numbers halfway between two codes may round the other way in single precision
  const allowed = name === 'adamw8bit' ? 3 : 0;
  expect(worst[allowed]).toBeLessThan(2e-5);
});

test('the codes are those of bitsandbytes, and the nearest one is found', () => {
  for (const [signed, expected] of [
    [true, reference.signedCode],
    [false, reference.unsignedCode],
  ] as const) {
    const { values, encode } = dynamicCode(signed);
    expect(values).toHaveLength(256);
    expected.forEach((value, i) => {
      expect(Math.abs(values[i] - value)).toBeLessThan(1e-7);
    });
    const random = new Random(1);
    for (let i = 0; i < 20_000; i++) {
      const size = 10 ** (-8 * random.next());
      const x = Math.fround(signed && random.next() < 0.5 ? -size : size);
      const nearest = Math.min(...values.map((value) => Math.abs(value - x)));
      expect(Math.abs(values[encode(x)] - x)).toBeLessThanOrEqual(nearest + 1e-9);
    }
    expect(values.map((value) => values[encode(value)])).toEqual(values);
  }
});

describe.each(OPTIMISERS)('%s', (name) => {
  const size = 1003;
  const gradientAt = (step: number) => {
    const random = new Random(step);
    return Float32Array.from({ length: size }, () => random.normal());
  };
  const steps = (optimiser: ReturnType<typeof makeOptimiser>, weights: Float32Array, from: number, to: number) => {
    for (let step = from; step < to; step++) {
      const gradient = gradientAt(step);
      optimiser.update(weights, gradient, 0.01, globalNorm(gradient));
    }
  };

  test('goes on from its saved state bit by bit', () => {
    const whole = new Float32Array(size);
    steps(makeOptimiser(name, size), whole, 0, 9);
    const resumed = new Float32Array(size);
    const first = makeOptimiser(name, size);
    steps(first, resumed, 0, 4);
    const saved = Object.fromEntries(Object.entries(first.state()).map(([key, array]) => [key, array.slice()]));
    const second = makeOptimiser(name, size);
    expect(second.restore(saved)).toBe(true);
    steps(second, resumed, 4, 9);
    expect(resumed).toEqual(whole);
    const bytes = Object.values(saved).reduce((sum, { byteLength }) => sum + byteLength, 0);
    expect(Math.abs(bytes / size / STATE_BYTES[name] - 1)).toBeLessThan(0.01);
  });

  test('does not take the state of another', () => {
    const others = OPTIMISERS.filter((other) => other !== name);
    for (const other of others)
      expect(makeOptimiser(name, size).restore(makeOptimiser(other, size).state())).toBe(false);
    expect(makeOptimiser(name, size).restore(makeOptimiser(name, size + 300).state())).toBe(false);
  });

  test('finds the bottom of a bowl, and clips what is too steep', () => {
    const weights = new Float32Array(4);
    const optimiser = makeOptimiser(name, 4);
    for (let step = 0; step < 400; step++) {
      const gradient = weights.map((value, i) => 1e6 * (value - i / 4));
      optimiser.update(weights, gradient, 0.02 * (1 - step / 400), globalNorm(gradient));
    }
    weights.forEach((value, i) => {
      expect(Math.abs(value - i / 4)).toBeLessThan(0.03);
    });
  });
});

test('a large gradient is clipped to the norm, a small one is left alone', () => {
  const step = (scale: number) => {
    const optimiser = new AdamW(2);
    const gradient = Float32Array.of(3 * scale, 4 * scale);
    optimiser.update(new Float32Array(2), gradient, 0.1, globalNorm(gradient));
    return optimiser.state().first;
  };
  expect(step(1)[0]).toBeCloseTo(0.06, 6);
  expect(step(100)[0]).toBeCloseTo(0.06, 6);
  expect(step(0.1)[0]).toBeCloseTo(0.03, 6);
});

test('the rate rises, peaks, and falls to its floor', () => {
  const schedule = { peak: 1, steps: 100, warmupSteps: 10, floor: 0.05 };
  const rates = Array.from({ length: 101 }, (_, step) => learningRate(schedule, step));
  expect(rates[0]).toBeCloseTo(0.1);
  expect(rates[9]).toBe(1);
  expect(Math.max(...rates)).toBe(1);
  for (let step = 11; step < 100; step++) expect(rates[step]).toBeLessThan(rates[step - 1]);
  expect(rates[100]).toBeCloseTo(0.05);
});
