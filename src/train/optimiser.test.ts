import { expect, test } from 'vitest';
import { ADAMW, adamwState, adamwStep, globalNorm } from './adamw.ts';
import { learningRate } from './schedule.ts';

const EXPECTED = [0.9446064, -1.8948321, 0.302592];

test('AdamW follows PyTorch (torch.optim.AdamW, three steps on a vector, values from torch 2)', () => {
  // torch: p=[1,-2,0.5]; grads g1=[.1,-.2,.3], g2=[-.3,.1,0], g3=[.2,.2,-.1]; lr=.1, betas=(.9,.99), eps=1e-8, weight_decay=.01
  const weights = Float32Array.of(1, -2, 0.5);
  const state = adamwState(3);
  for (const gradient of [
    [0.1, -0.2, 0.3],
    [-0.3, 0.1, 0],
    [0.2, 0.2, -0.1],
  ].map((g) => Float32Array.from(g))) {
    adamwStep(weights, gradient, state, 0.1, globalNorm(gradient), { ...ADAMW, weightDecay: 0.01 });
  }
  EXPECTED.forEach((value, i) => {
    expect(weights[i]).toBeCloseTo(value, 5);
  });
});

test('a large gradient is clipped to the norm, a small one is left alone', () => {
  const step = (scale: number) => {
    const weights = new Float32Array(2);
    const state = adamwState(2);
    const gradient = Float32Array.of(3 * scale, 4 * scale);
    adamwStep(weights, gradient, state, 0.1, globalNorm(gradient));
    return state.first;
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
