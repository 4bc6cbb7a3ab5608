import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { agreementOf, cascadeFileOf, confidenceOf, readCascade, signalsOf, writeCascade } from './confidence.ts';

test('signals of an answer', () => {
  expect(signalsOf([-1, -3], true)).toEqual({ mean: -2, least: -3, total: -4, complete: true });
  expect(signalsOf([], false)).toEqual({ mean: 0, least: 0, total: 0, complete: false });
});

test('the file is read back, and refused for another model, when broken, and when absent', () => {
  const folder = mkdtempSync(join(tmpdir(), 'cupel-confidence-'));
  const model = join(folder, 'model.gguf');
  expect(() => readCascade(model, 'a')).toThrow('no calibrated confidence');
  const content = {
    format: 1 as const,
    model: 'a',
    calibration: { bias: 1, weights: [1, 2, 3], json: false },
    threshold: null,
    test: { local: 0, ratio: 1, lower95: 0.9, n: 10 },
  };
  writeCascade(model, content);
  expect(readCascade(model, 'a')).toEqual(content);
  expect(() => readCascade(model, 'b')).toThrow('of another model file');
  writeFileSync(cascadeFileOf(model), '{"format": 1');
  expect(() => readCascade(model, 'a')).toThrow('not a cascade file');
  rmSync(folder, { recursive: true });
});

test('agreement is the share that says the same, and raises the confidence where it has a weight', () => {
  const agreement = agreementOf('{"a":1,"b":2}', ['{"b": 2, "a": 1}', '{"a":1,"b":3}', 'no']);
  expect(agreement).toBeCloseTo(1 / 3);
  const calibration = { bias: 0, weights: [0, 0, 0, 2], json: false };
  const signals = { ...signalsOf([-1], true), agreement: 1 };
  expect(confidenceOf(signals, 'x', calibration)).toBeCloseTo(1 / (1 + Math.exp(-2)));
  expect(confidenceOf({ ...signals, agreement: 0 }, 'x', calibration)).toBeCloseTo(0.5);
});
