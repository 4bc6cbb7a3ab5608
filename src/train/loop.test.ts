import { mkdtempSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { Random } from '../base/random.ts';
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
    return { loss: this.lossOf(batch, this.#distance(theta)), gradient, tokens: 10 };
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

  test('training that never holds is an error with the remedy', async () => {
    const bowl = new Bowl();
    bowl.lossOf = () => Number.NaN;
    await expect(run(bowl, { steps: 60 }).promise).rejects.toMatchObject({
      message: expect.stringContaining('training does not hold'),
      remedy: expect.stringContaining('--learning-rate'),
    });
  });
});
