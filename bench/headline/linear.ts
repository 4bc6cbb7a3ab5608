// A linear classifier over sparse features, trained by AdaGrad: what the data give without a language model.
import { Random } from '../../src/base/random.ts';
import type { Sparse } from './grams.ts';

/** One decision: candidate `i` has the features `of[i]`, their indices moved by `i * stride`. */
export interface Decision {
  of: readonly Sparse[];
  right: number;
}

const RATE = 0.7;
const RIDGE = 1e-4;
const PASSES = { most: 40, decisions: 40_000 };

/** @param stride how far apart the weights of candidates are: 0 where they share them */
export function trainLinear(decisions: readonly Decision[], size: number, stride: number) {
  const weights = new Float64Array(size);
  const squares = new Float64Array(size).fill(0.1);
  const score = ({ at, values }: Sparse, candidate: number): number => {
    let sum = 0;
    for (let i = 0; i < at.length; i++) sum += weights[at[i] + candidate * stride] * values[i];
    return sum;
  };
  const move = ({ at, values }: Sparse, candidate: number, error: number) => {
    for (let i = 0; i < at.length; i++) {
      const index = at[i] + candidate * stride;
      const gradient = error * values[i] + RIDGE * weights[index];
      squares[index] += gradient * gradient;
      weights[index] -= (RATE * gradient) / Math.sqrt(squares[index]);
    }
  };
  const step = ({ of, right }: Decision) => {
    const scores = of.map(score);
    const top = Math.max(...scores);
    const shares = scores.map((value) => Math.exp(value - top));
    const sum = shares.reduce((a, b) => a + b, 0);
    of.forEach((features, candidate) => {
      const error = shares[candidate] / sum - Number(candidate === right);
      if (Math.abs(error) > 1e-3) move(features, candidate, error);
    });
  };
  const random = new Random(1);
  const passes = Math.min(PASSES.most, Math.ceil(PASSES.decisions / decisions.length));
  for (let pass = 0; pass < passes; pass++) random.shuffle([...decisions]).forEach(step);
  return (of: readonly Sparse[]): number => {
    const scores = of.map(score);
    return scores.indexOf(Math.max(...scores));
  };
}
