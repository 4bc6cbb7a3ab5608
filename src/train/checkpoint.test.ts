import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { loadCheckpoint, saveCheckpoint } from './checkpoint.ts';

let folder: string;
beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'cupel-checkpoint-'));
});
afterEach(() => rmSync(folder, { recursive: true }));

const at = (step: number) => ({
  step,
  state: { note: `é${step}`, losses: [1.5, step] },
  arrays: { weights: Float32Array.of(step, Number.NaN, -0, 1e-30), empty: new Float32Array() },
});

test('what is saved is loaded, bit by bit, and at most two files are kept', () => {
  for (const step of [9, 10, 11]) saveCheckpoint(folder, at(step), 2);
  expect(loadCheckpoint(folder)).toEqual(at(11));
  expect(readdirSync(folder)).toEqual(['step-00000010.ckpt', 'step-00000011.ckpt']);
});

test('a damaged or half-written file is passed over for the one before', () => {
  saveCheckpoint(folder, at(1), 3);
  saveCheckpoint(folder, at(2), 3);
  const newest = join(folder, 'step-00000002.ckpt');
  const bytes = readFileSync(newest);
  bytes[bytes.length - 40] ^= 1;
  writeFileSync(newest, bytes);
  writeFileSync(join(folder, 'step-00000003.ckpt'), bytes.subarray(0, 10));
  expect(loadCheckpoint(folder)).toEqual(at(1));
});

test('none is null', () => expect(loadCheckpoint(join(folder, 'absent'))).toBeNull());
