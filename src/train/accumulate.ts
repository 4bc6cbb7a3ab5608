// Gradient accumulation: several small batches make the step of one large batch, in the memory of a small one.
import { ALONE, type Crew } from './crew.ts';
import type { StepResult, Trainee } from './loop.ts';

/**
 * Batch n becomes batches n * count to n * count + count - 1. Their gradients are weighed as their answers would be in one batch,
 * so that loss and gradient are the large batch's within rounding (a balancing loss of experts: the mean of the small batches').
 * @param crew the threads that add
 */
export function accumulated(trainee: Trainee, count: number, crew: Crew = ALONE): Trainee {
  if (count === 1) return trainee;
  const sum = new Float32Array(trainee.initial.length);
  return {
    initial: trainee.initial,
    memory: trainee.memory,
    validate: (theta) => trainee.validate(theta),
    step: async (theta, batch) => {
      const parts: Omit<StepResult, 'gradient'>[] = [];
      let own = sum;
      let weight = 0;
      for (let i = 0; i < count; i++) {
        const part = await trainee.step(theta, batch * count + i);
        if (i === 0) own = sum.subarray(0, part.gradient.length).fill(0);
        weight += part.weight;
        const share = i === count - 1 ? 1 / weight : 1;
        crew.run({ kernel: 'accumulate', arrays: [own, part.gradient], factors: [share, share * part.weight] });
        parts.push(part);
      }
      return {
        loss: parts.reduce((total, part) => total + part.weight * part.loss, 0) / weight,
        gradient: own,
        tokens: parts.reduce((total, part) => total + part.tokens, 0),
        weight,
        range: parts[0].range,
      };
    },
  };
}
