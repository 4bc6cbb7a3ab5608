// Likelihoods of continuations against the engine's own logits, on the tiny random student.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { writeTinyStudent } from '../../test/tiny-student.ts';
import { openServedModel, type ServedModel } from './served-model.ts';

const folder = mkdtempSync(join(tmpdir(), 'cupel-likelihood-'));
let served: ServedModel;

beforeAll(async () => {
  const model = join(folder, 'tiny.gguf');
  writeTinyStudent(model);
  served = await openServedModel(model, { threads: 1, parallel: 1 });
});

afterAll(async () => {
  await served.close();
  rmSync(folder, { recursive: true, force: true });
});

function logSoftmax(row: Float32Array, token: number): number {
  const most = Math.max(...row);
  return row[token] - most - Math.log(row.reduce((sum, logit) => sum + Math.exp(logit - most), 0));
}

test('each continuation has the sum of its tokens’ log probabilities, whatever was asked before it', async () => {
  const { engine } = served;
  const prompt = [5, 9, 13, 6, 7];
  const continuations = [[8], [8, 11, 4], Array.from({ length: 40 }, (_, i) => 4 + (i % 9)), [11]];
  const found = await engine.call({ kind: 'likelihoods', prompt, continuations });
  const { vocabSize } = engine.info;
  for (const [i, tokens] of continuations.entries()) {
    const ids = [...prompt, ...tokens];
    const logits = await engine.call({ kind: 'logits', tokens: ids });
    const rows = tokens.map((_, at) => {
      const from = (prompt.length - 1 + at) * vocabSize;
      return logits.subarray(from, from + vocabSize);
    });
    const wanted = tokens.reduce((sum, token, at) => sum + logSoftmax(rows[at], token), 0);
    expect(found[i].logprob).toBeCloseTo(wanted, 3);
    expect(found[i].tokens).toBe(tokens.length);
    expect(found[i].greedy).toBe(tokens.every((token, at) => rows[at][token] === Math.max(...rows[at])));
  }
});

test('what does not fit the context is refused, and the engine goes on', async () => {
  const { engine } = served;
  const prompt = Array.from({ length: engine.info.contextTokens }, () => 5);
  const call = engine.call({ kind: 'likelihoods', prompt, continuations: [[6]] });
  await expect(call).rejects.toThrow(/the context holds/);
  expect(await engine.call({ kind: 'likelihoods', prompt: [5], continuations: [[6]] })).toHaveLength(1);
});
