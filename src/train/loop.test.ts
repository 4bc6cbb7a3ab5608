import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
import { accumulated } from './accumulate.ts';
import { Interrupted, type LoopOptions, type Note, type Trainee, train } from './loop.ts';

const SIZE = 8;
const folder = () => mkdtempSync(join(tmpdir(), 'cupel-loop-'));
const options: LoopOptions = {
  learningRate: 0.05,
  warmupSteps: 2,
  floor: 0,
  budgetSeconds: 100,
  mostSteps: 1_000_000,
  patience: 1000,
  checkpointSeconds: 1e9,
};

/** A bowl around 1 with noise that depends on the batch; steps and validations move a clock of their own. */
class Bowl implements Trainee {
  readonly initial = new Float32Array(SIZE);
  now = 0;
  validationTarget = 1;
  stepSeconds: (batch: number) => number = () => 1;
  lossOf: (batch: number, loss: number) => number = (_, loss) => loss;

  async step(theta: Float32Array, batch: number) {
    const random = new Random(batch);
    const gradient = theta.map((value) => value - 1 + 0.1 * random.normal());
    this.now += this.stepSeconds(batch);
    return { loss: this.lossOf(batch, this.#distance(theta)), gradient, tokens: 10, weight: 1 };
  }

  async validate(theta: Float32Array) {
    this.now += 0.5;
    return { loss: this.#distance(theta, this.validationTarget), exact: 0 };
  }

  #distance(theta: Float32Array, target = 1): number {
    return theta.reduce((sum, value) => sum + (value - target) ** 2, 0) / SIZE;
  }
}

function run(bowl: Bowl, chosen: Partial<LoopOptions> = {}, at = folder(), stopAfter = Number.POSITIVE_INFINITY) {
  const notes: Note[] = [];
  let made = 0;
  const promise = train(bowl, { ...options, ...chosen }, at, {
    clock: () => bowl.now,
    onStep: () => made++,
    onNote: (note) => notes.push(note),
    stopping: () => made >= stopAfter,
  });
  return { promise, notes };
}

describe('the budget', () => {
  test('becomes steps, and is kept to', async () => {
    const bowl = new Bowl();
    const { steps, best, reason } = await run(bowl).promise;
    expect(bowl.now).toBeGreaterThan(90);
    expect(bowl.now).toBeLessThanOrEqual(100);
    expect(steps).toBeGreaterThan(85);
    expect(best.loss).toBeLessThan(0.05);
    expect(reason).toBe('all planned steps are made');
  });

  test('a machine that becomes faster after the first steps makes more of them', async () => {
    const bowl = new Bowl();
    bowl.stepSeconds = (batch) => (batch < 5 ? 5 : 1);
    const { promise, notes } = run(bowl);
    expect((await promise).steps).toBeGreaterThan(60);
    expect(notes.some(({ message }) => message.startsWith('faster than planned'))).toBe(true);
    expect(bowl.now).toBeLessThan(105);
  });

  test('a machine that becomes slower makes fewer', async () => {
    const bowl = new Bowl();
    bowl.stepSeconds = (batch) => (batch < 20 ? 1 : 4);
    const { promise, notes } = run(bowl);
    expect((await promise).steps).toBeLessThan(50);
    expect(notes.some(({ message }) => message.startsWith('slower than planned'))).toBe(true);
    expect(bowl.now).toBeLessThan(115);
  });

  test('epochs bound the steps', async () => {
    expect((await run(new Bowl(), { mostSteps: 7 }).promise).steps).toBe(7);
  });
});

test('stops early when the validation loss no longer falls, and keeps the best', async () => {
  const overfitting = new Bowl();
  overfitting.validationTarget = 0.5;
  const { steps, best, theta, reason } = await run(overfitting, { patience: 3, learningRate: 0.03 }).promise;
  expect(reason).toMatch(/no better validation loss in 3/);
  expect(steps).toBeLessThan(97);
  expect(best.step).toBeLessThan(steps);
  expect((await overfitting.validate(theta)).loss).toBe(best.loss);
});

test('killed or stopped after any step, the run goes on to the same bits', async () => {
  const fixed = { steps: 17, checkpointSeconds: 3 };
  const whole = await run(new Bowl(), fixed).promise;
  for (let stopAfter = 1; stopAfter < 17; stopAfter++) {
    const at = folder();
    await expect(run(new Bowl(), fixed, at, stopAfter).promise).rejects.toThrow(Interrupted);
    const { promise, notes } = run(new Bowl(), fixed, at);
    const resumed = await promise;
    expect(notes[0].message).toBe(`goes on from step ${stopAfter}`);
    expect(resumed.theta).toEqual(whole.theta);
    expect(resumed.records.map(({ loss }) => loss)).toEqual(whole.records.map(({ loss }) => loss));
  }
});

test.each(['adamw8bit', 'lion'] as const)(
  '%s goes on to the same bits, learns, and is bound to its checkpoint',
  async (optimiser) => {
    const fixed = { steps: 40, optimiser, learningRate: 0.05, checkpointSeconds: 3 };
    const whole = await run(new Bowl(), fixed).promise;
    expect(whole.best.loss).toBeLessThan(0.1);
    const at = folder();
    await expect(run(new Bowl(), fixed, at, 13).promise).rejects.toThrow(Interrupted);
    const { promise, notes } = run(new Bowl(), fixed, at);
    expect((await promise).theta).toEqual(whole.theta);
    expect(notes[0].message).toBe('goes on from step 13');
    const other = run(new Bowl(), { ...fixed, optimiser: 'adamw' }, at);
    await other.promise;
    expect(other.notes.some(({ message }) => message.startsWith('goes on'))).toBe(false);
  },
);

/** Moves one half of theta for three batches, then the other; the loss rises with what it remembers of its steps. */
class Halves extends Bowl {
  readonly memory = new Float32Array(1);

  override async step(theta: Float32Array, batch: number) {
    const start = batch % 6 < 3 ? 0 : SIZE / 2;
    const { gradient, loss, ...rest } = await super.step(theta, batch);
    this.memory[0]++;
    const range = { start, end: start + SIZE / 2 };
    return { ...rest, loss: loss + this.memory[0] / 1000, gradient: gradient.subarray(range.start, range.end), range };
  }
}

test('parts of theta take turns, the rest stays; what a trainee remembers comes back with the checkpoint', async () => {
  const fixed = { steps: 16, checkpointSeconds: 3 };
  const short = await run(new Halves(), { ...fixed, steps: 3 }).promise;
  expect([...short.theta].map((value) => value !== 0)).toEqual([...Array(4).fill(true), ...Array(4).fill(false)]);
  const whole = await run(new Halves(), fixed).promise;
  for (const stopAfter of [1, 2, 4, 7, 11]) {
    const at = folder();
    await expect(run(new Halves(), fixed, at, stopAfter).promise).rejects.toThrow(Interrupted);
    const resumed = await run(new Halves(), fixed, at).promise;
    expect(resumed.theta).toEqual(whole.theta);
    expect(resumed.records.map(({ loss }) => loss)).toEqual(whole.records.map(({ loss }) => loss));
  }
});

test('accumulated batches weigh what they would in one large batch', async () => {
  const gradients = [Float32Array.of(1, 2), Float32Array.of(5, -2), Float32Array.of(7, 7)];
  const asked: number[] = [];
  const shared = new Float32Array(2);
  const trainee: Trainee = {
    initial: new Float32Array(2),
    step: async (_, batch) => {
      asked.push(batch);
      shared.set(gradients[batch - 6]);
      return { loss: batch, gradient: shared, tokens: 4, weight: [3, 1, 4][batch - 6] };
    },
    validate: async () => ({ loss: 0, exact: 0 }),
  };
  const { loss, gradient, tokens, weight } = await accumulated(trainee, 3).step(new Float32Array(2), 2);
  expect(asked).toEqual([6, 7, 8]);
  expect([...gradient]).toEqual([(3 * 1 + 5 + 4 * 7) / 8, (3 * 2 - 2 + 4 * 7) / 8]);
  expect({ loss, tokens, weight }).toEqual({ loss: (3 * 6 + 7 + 4 * 8) / 8, tokens: 12, weight: 8 });
  expect(accumulated(trainee, 1)).toBe(trainee);
});

describe('guards', () => {
  test.each([
    ['a loss that is no number', Number.NaN],
    ['a spike', 1000],
  ])('%s: back to the last checkpoint, other batches, half the rate', async (_, wrong) => {
    const bowl = new Bowl();
    bowl.lossOf = (batch, loss) => (batch === 40 ? wrong : loss);
    const { promise, notes } = run(bowl, { steps: 60, checkpointSeconds: 10 });
    const { best, records } = await promise;
    const note = notes.find(({ message }) => message.includes('learning rate halved'));
    expect(note?.message).toMatch(/at step 41: back to step (3\d|40)/);
    expect(records.every(({ loss }) => Number.isFinite(loss) && loss < 100)).toBe(true);
    expect(best.loss).toBeLessThan(0.1);
  });

  test('every spike halves the rate again, and the run ends with all its steps', async () => {
    const bowl = new Bowl();
    bowl.lossOf = (batch, loss) => (batch === 30 || batch === 50 ? loss + 50 : loss);
    const { promise, notes } = run(bowl, { steps: 70, checkpointSeconds: 5, floor: 1, warmupSteps: 0 });
    const { records, steps, best } = await promise;
    expect(notes.filter(({ message }) => /the loss jumped to 5\d\.\d+ from about/.test(message))).toHaveLength(2);
    expect(steps).toBe(70);
    expect([records[0].lr, records.at(-1)!.lr]).toEqual([0.05, 0.0125]);
    expect(records.map(({ step }) => step)).toEqual(Array.from({ length: 70 }, (_, i) => i + 1));
    expect(best.loss).toBeLessThan(0.1);
  });

  test('a checkpoint whose weights fail with every batch gives way to the one before it', async () => {
    const bowl = new Bowl();
    const step = bowl.step.bind(bowl);
    let broken = '';
    bowl.step = async (theta, batch) => {
      const result = await step(theta, batch);
      if (batch === 40) broken = theta.join();
      return theta.join() === broken ? { ...result, loss: 1000 } : result;
    };
    const { promise, notes } = run(bowl, { steps: 60, checkpointSeconds: 1 });
    const { best, steps } = await promise;
    expect(notes.filter(({ message }) => message.includes('halved')).map(({ step }) => step)).toEqual([40, 39]);
    expect(steps).toBe(60);
    expect(best.loss).toBeLessThan(0.1);
  });

  test('a gradient that is no number never reaches the weights', async () => {
    const bowl = new Bowl();
    const step = bowl.step.bind(bowl);
    bowl.step = async (theta, batch) => {
      const result = await step(theta, batch);
      if (batch === 12) result.gradient[3] = Number.NaN;
      return result;
    };
    const { promise, notes } = run(bowl, { steps: 30, checkpointSeconds: 5 });
    expect((await promise).theta.every(Number.isFinite)).toBe(true);
    expect(notes.some(({ message }) => message.startsWith('the gradient norm is NaN'))).toBe(true);
  });

  test('training that never holds is an error with the remedy', async () => {
    const bowl = new Bowl();
    bowl.lossOf = () => Number.NaN;
    await expect(run(bowl, { steps: 60 }).promise).rejects.toMatchObject({
      message: expect.stringContaining('training does not hold'),
      remedy: expect.stringContaining('--learning-rate'),
    });
  });
});
