// Multiple choice decided as lm-evaluation-harness decides it: every item of its recorded run (test/reference/make_lm_eval.py).
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { resolveModel } from '../src/catalog/resolve.ts';
import type { Completer } from '../src/chat/completer.ts';
import { compress } from '../src/compress/compress.ts';
import { runTask } from '../src/evaluate/tasks/run.ts';
import { Task } from '../src/evaluate/tasks/task.ts';
import { openCheckpoint } from '../src/formats/checkpoint.ts';
import { openCompleter } from '../src/serve/completer.ts';

interface Recorded {
  question: string;
  choices: string[];
  gold: number;
  prompt: string;
  logprobs: number[];
  acc: number;
  acc_norm: number;
}
const recorded: { items: Recorded[]; acc: number; acc_norm: number } = JSON.parse(
  readFileSync(new URL('./reference/lm_eval.json', import.meta.url), 'utf8'),
);
const folder = mkdtempSync(join(tmpdir(), 'cupel-lm-eval-'));
let completer: Completer;

// transformers computes in float32; from the quantised file llama.cpp rounds activations too, and near ties may fall otherwise
beforeAll(async () => {
  const base = openCheckpoint((await resolveModel('smollm2-135m-instruct')).path);
  const { files } = await compress({ base, types: ['f32'], folder });
  base.close();
  completer = await openCompleter(join(folder, files[0].name), { contextTokens: 1024, parallel: 1 });
});
afterAll(async () => {
  await completer?.close();
  rmSync(folder, { recursive: true, force: true });
});

test('every decision, by likelihood and by likelihood for each character, is the same', async () => {
  const task = Task.parse({
    name: 'desk',
    version: 1,
    source: 'examples/support-desk',
    language: 'en',
    files: { test: ['none'] },
    prompt: '{{prompt}}',
    output: 'multiple-choice',
    choices: 'choices',
    target: '{{gold}}',
  });
  const items = recorded.items.map(({ prompt, choices, gold }, i) => ({
    id: `${i}`,
    prompt,
    choices,
    gold,
    target: '',
  }));
  const { answers, score, accuracyNormalised } = await runTask({ task, items, completer });
  const wrong = answers.filter(({ score: acc, normalised }, i) => {
    const { logprobs, choices, acc: theirs, acc_norm: theirsNormalised } = recorded.items[i];
    const best = logprobs.indexOf(Math.max(...logprobs));
    const each = logprobs.map((logprob, c) => logprob / choices[c].length);
    const same = answers[i].chosen === best && answers[i].chosenNormalised === each.indexOf(Math.max(...each));
    return !same || acc !== theirs || normalised !== theirsNormalised;
  });
  expect(wrong.map(({ id }) => id)).toEqual([]);
  const apart = answers.flatMap(({ logprobs }, i) =>
    logprobs!.map((logprob, c) => Math.abs(logprob - recorded.items[i].logprobs[c])),
  );
  expect(Math.max(...apart)).toBeLessThan(0.05);
  expect(score).toBeCloseTo(recorded.acc, 9);
  expect(accuracyNormalised).toBeCloseTo(recorded.acc_norm, 9);
});
