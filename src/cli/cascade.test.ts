// A cascade file is believed only as it was signed, by a key that is trusted, of a clean test.
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { sha256File } from '../base/hash.ts';
import { readCascade } from '../chat/confidence.ts';
import type { CascadeFacts } from '../evaluate/cascade/cascade.ts';
import { isBelieved, keepCascade } from './cascade.ts';

const root = mkdtempSync(join(tmpdir(), 'cupel-cascade-'));
const before = process.env.CUPEL_CONFIG;
const model = join(root, 'student.gguf');
beforeAll(() => {
  process.env.CUPEL_CONFIG = join(root, 'config');
  writeFileSync(model, 'weights');
});
afterAll(() => {
  if (before === undefined) delete process.env.CUPEL_CONFIG;
  else process.env.CUPEL_CONFIG = before;
  rmSync(root, { recursive: true, force: true });
});

const point = { threshold: 0.5, local: 0.9, quality: 0.96, ratio: 0.98, lower95: 0.96, n: 400 };
const facts: CascadeFacts = {
  calibration: { bias: 0, weights: [1, 1, 1], json: false },
  calibrated: 200,
  point,
  curve: [],
  brier: 0.1,
};

test('as it was written it is believed; changed, unsigned, leaked or by a stranger it is not', async () => {
  await keepCascade(model, facts, 0);
  const file = readCascade(model, await sha256File(model));
  expect(isBelieved(file)).toBe(true);
  expect(isBelieved({ ...file, test: { ...file.test, lower95: 0.99 } })).toBe(false);
  expect(isBelieved({ ...file, threshold: 0.1 })).toBe(false);
  const { signature: _signature, ...unsigned } = file;
  expect(isBelieved(unsigned)).toBe(false);
  process.env.CUPEL_CONFIG = join(root, 'other');
  expect(isBelieved(file)).toBe(false);
  process.env.CUPEL_CONFIG = join(root, 'config');
  await keepCascade(model, facts, 3);
  expect(isBelieved(readCascade(model, await sha256File(model)))).toBe(false);
});
