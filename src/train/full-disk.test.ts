import { mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test, vi } from 'vitest';
import { loadCheckpoint } from './checkpoint.ts';
import { type Trainee, train } from './loop.ts';

const disk = vi.hoisted(() => ({ free: Number.POSITIVE_INFINITY }));

// a disk that takes part of the bytes and then no more
vi.mock('node:fs', async (original) => {
  const fs = await original<typeof import('node:fs')>();
  const writeSync = (fd: number, bytes: Uint8Array, at: number, length: number) => {
    if (disk.free === 0) throw Object.assign(new Error('ENOSPC: no space left on device, write'), { code: 'ENOSPC' });
    const written = fs.writeSync(fd, bytes, at, Math.min(length, disk.free));
    disk.free -= written;
    return written;
  };
  return { ...fs, writeSync };
});

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cupel-disk-'));
  disk.free = Number.POSITIVE_INFINITY;
});
afterEach(() => rmSync(folder, { recursive: true }));

const SIZE = 500;
const trainee = (): Trainee => ({
  initial: new Float32Array(SIZE),
  step: async (theta, batch) => {
    const gradient = theta.map((value) => value - Math.sin(batch));
    return { loss: 1 / (batch + 1), gradient, tokens: 1, weight: 1 };
  },
  validate: async (theta) => ({ loss: theta.reduce((sum, value) => sum + (value - 1) ** 2, 0), exact: 0 }),
});

function run(onStep: (step: number) => void = () => {}) {
  let now = 0;
  return train(
    trainee(),
    {
      learningRate: 0.01,
      warmupSteps: 1,
      floor: 0,
      budgetSeconds: 1,
      mostSteps: 100,
      steps: 30,
      patience: 100,
      checkpointSeconds: 5,
    },
    folder,
    { clock: () => now++ / 4, onStep: ({ record }) => onStep(record.step), onNote: () => {}, stopping: () => false },
  );
}

test('a disk that fills up while a checkpoint is written ends the run with the remedy; freed, it goes on to the same bits', async () => {
  const filling = run((step) => {
    if (step === 15) disk.free = 3 * SIZE;
  });
  await expect(filling).rejects.toMatchObject({
    name: 'CupelError',
    message: expect.stringContaining('the disk is full'),
    remedy: expect.stringMatching(/free some space.*run the same command again/),
  });
  const saved = loadCheckpoint(folder)!.step;
  expect(saved).toBeGreaterThan(0);
  expect(saved).toBeLessThanOrEqual(15);
  expect(readdirSync(folder).every((name) => name.endsWith('.ckpt'))).toBe(true);

  disk.free = Number.POSITIVE_INFINITY;
  const resumed: number[] = [];
  const { theta } = await run((step) => resumed.push(step));
  expect(resumed[0]).toBe(saved + 1);
  rmSync(folder, { recursive: true });
  expect(theta).toEqual((await run()).theta);
});
